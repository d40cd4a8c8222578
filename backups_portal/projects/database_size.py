"""The current size of a main database."""

import psycopg

from backups_portal.lib import pgsession
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.database_dsn import UNREACHABLE, project_dsn
from backups_portal.projects.errors import DatabaseUnreachableError
from backups_portal.projects.models import Project

log = get_logger(__name__)

# A person waits for the answer, and can ask again.
PATIENCE_SECONDS = 2


def database_size(project: Project) -> int:
    """Return the size of a database's files, with indexes and dead rows.

    Raises:
        DatabaseUnreachableError: it does not answer within PATIENCE_SECONDS.
    """
    try:
        dsn = project_dsn(project, statement_seconds=PATIENCE_SECONDS)
        with pgsession.connect(dsn, connect_timeout=PATIENCE_SECONDS) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    except psycopg.OperationalError as error:
        log.warning("main database cannot be measured", project=project.pk, exc_info=True)
        raise DatabaseUnreachableError(UNREACHABLE) from error
    return int(row[0]) if row else 0
