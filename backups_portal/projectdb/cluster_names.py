"""Names of roles and databases, which all portals of a server share.

Those of projects are random. What a portal makes once carries its installation's id; otherwise a
second portal on the same server would find the first one's, which it may not use.
"""

import hashlib
from pathlib import Path

from psycopg import Connection

from backups_portal.projectdb.catalogue import INTERNAL, TABLES

SCHEMA = Path(__file__).with_name("schema.sql")
LARGE_OBJECTS = Path(__file__).with_name("large_objects.sql")
TRACKING = Path(__file__).with_name("tracking.sql")
LEDGER = Path(__file__).with_name("ledger.sql")
# Tables about the database itself. A project's role may only read them; triggers and the portal
# write them. Otherwise an owner, who has the database's URL, could falsify a backup.
INTERNAL_TABLES = tuple(table.name for table in TABLES if table.excluded == INTERNAL)
GRANTS = (
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO {role}",
    "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {internal} FROM {role}",
    "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {role}",
)
# A server's own may be SQL_ASCII, such as Debian's with LANG=C, or a national one.
ENCODING = "UTF8"
# From versions before names carried the id; all portals of a server shared these.
SHARED_GROUP = "backups_portal_projects"
SHARED_TEMPLATE = "^bp_template_[0-9a-f]{10}$"
# Finds the group that has the rights in the current database.
GROUP_OF = f"""SELECT rolname FROM pg_class CROSS JOIN aclexplode(relacl) AS entry
    JOIN pg_roles ON pg_roles.oid = entry.grantee
    WHERE pg_class.oid = 'public.variable'::regclass AND entry.privilege_type = 'SELECT'
      AND rolname ~ '^{SHARED_GROUP}(_[0-9a-f]+)?$'"""  # noqa: S608 - a constant


def schema_name() -> str:
    """Name this version's schema; the name changes whenever the schema does."""
    schema = b"".join(file.read_bytes() for file in (SCHEMA, TRACKING, LEDGER, LARGE_OBJECTS))
    rights = repr((GRANTS, INTERNAL_TABLES, ENCODING)).encode()
    return hashlib.sha256(schema + rights).hexdigest()[:10]


def template_name(installation: str) -> str:
    """Name the template of an installation's databases with this schema.

    Args:
        installation: The installation's id, in hex digits.
    """
    return f"bp_template_{installation}_{schema_name()}"


def group_role(installation: str) -> str:
    """Name the role that holds every right on an installation's tables.

    Each project's role is a member of it and can connect to its own database only.
    """
    return f"{SHARED_GROUP}_{installation}"


def group_of(inside: Connection) -> str:
    """Return the group that has the rights in a main database."""
    row = inside.execute(GROUP_OF.encode()).fetchone()
    return str(row[0]) if row else SHARED_GROUP
