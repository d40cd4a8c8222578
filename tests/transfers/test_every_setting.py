"""No setting of a server, database or role changes a backup or what is restored from it."""

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from snapshots.engine.storage import open_storage
from tests.hostile import LIMITS, SINCE_17, STYLES, hostile
from tests.projectdatabases import Backups, main_database, restore_into
from tests.transfers.engine import add_device
from tests.transfers.projects import DEVICE
from tests.transfers.test_hostile_settings import RECORDS, STAMPS, fill, sql_of

pytestmark = [pytest.mark.server_version, pytest.mark.usefixtures("project_server")]

# The least and the greatest other value of each that any role may change, but for hostile ones.
EXTREMES = """
SELECT name, CASE vartype WHEN 'bool' THEN ARRAY[flipped, flipped]
                          WHEN 'enum' THEN ARRAY[others[1], others[cardinality(others)]]
                          ELSE ARRAY[min_val, max_val] END
FROM pg_settings,
     LATERAL (SELECT CASE setting WHEN 'on' THEN 'off' ELSE 'on' END AS flipped,
                     array_remove(enumvals, setting) AS others) AS other
WHERE context = 'user' AND vartype <> 'string'
  AND name <> ALL(%s)
  AND (vartype <> 'enum' OR others <> '{}')
"""
# Only a transaction can have these.
OF_ONE = ["transaction_read_only", "transaction_isolation", "transaction_deferrable"]


@pytest.mark.parametrize("extreme", [0, 1])
def test_every_setting_at_an_extreme(storage_url: str, extreme: int) -> None:
    with main_database() as source, main_database() as target:
        add_device(source, DEVICE, "Truck")
        fill(source.dsn)
        expected = sql_of(source.dsn, RECORDS, STAMPS)
        backups = Backups(source, open_storage(storage_url))
        names = [f"bp_{one.prefix}" for one in (source, target)]
        with (
            hostile(*names),
            psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as server,
        ):
            for name, values in server.execute(
                EXTREMES.encode(), [[*OF_ONE, *STYLES, *LIMITS, *SINCE_17]]
            ).fetchall():
                for database in names:
                    server.execute(
                        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                            sql.Identifier(database), sql.Identifier(name), values[extreme]
                        )
                    )
            first, second = backups.take(), backups.take()
            restore_into(target, second, backups.storage)
        assert first.objects == second.objects
        assert sql_of(target.dsn, RECORDS, STAMPS) == expected
