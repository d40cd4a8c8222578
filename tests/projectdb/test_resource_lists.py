"""All backed-up resource data is also moved, downloaded, shown and listed, or declared not to be.

Each of these has a separate list, from which a new table or column could silently be missing.
"""

from backups_portal.projectdb.catalogue import RESOURCE_TABLES
from backups_portal.tagoio_api.routes.tags import TABLES
from backups_portal.transfers.move.resource_rows import BY_KIND, DEVICE
from backups_portal.transfers.plan.selection import KINDS
from snapshots.engine.archive_resources import JSON_COLUMNS, RESOURCES
from snapshots.reports.resource_lines import LABELS
from tests.projectdatabases import Connection

KEPT = {table.name for table in RESOURCE_TABLES}
NOT_MOVED = {
    "profile": "every project has its own",
    "run_settings": "every project has its own",
    "series": "moved with its records",
    "token": "the target makes new ones",
}
NOT_IN_JSON_FILES = {
    "entity_record": "rows, as the variables: in Parquet",
    "series": "of the variables: in Parquet",
    "token": "opens nothing: in Parquet, without its value",
}


def test_every_kind_is_moved_or_says_why_not() -> None:
    moved = {name for kind in BY_KIND.values() for name in (kind.name, *dict(kind.children))}
    assert moved | set(NOT_MOVED) == KEPT, "Add it to BY_KIND of transfers/move/resource_rows.py"
    assert set(KINDS) == set(BY_KIND) - {DEVICE.name}, "Add it to KINDS of transfers/plan/selection"


def test_every_kind_is_in_downloads_or_says_why_not() -> None:
    read: set[str] = set()

    def rows(table: str) -> list[dict[str, object]]:
        read.add(table)
        return []

    for document in RESOURCES.values():
        document(rows)
    assert read | set(NOT_IN_JSON_FILES) == KEPT, "Add it to RESOURCES of engine/archive_resources"


def test_every_kind_has_a_page() -> None:
    # Devices have their own pages, and tokens no file.
    assert set(LABELS) == set(RESOURCES) | {"tokens"}, (
        "Add it to LABELS of snapshots/reports/resource_lines.py"
    )


def test_the_keys_of_all_tags_are_listed() -> None:
    tagged = {table.name for table in RESOURCE_TABLES if "tags" in table.columns}
    assert set(TABLES.values()) == tagged, "Add it to TABLES of tagoio_api/routes/tags.py"


def test_every_column_of_json_is_read_as_json(database: Connection) -> None:
    rows = database.execute(
        """SELECT attrelid::regclass::text, attname FROM pg_attribute
           WHERE attrelid = ANY(%s::regclass[]) AND atttypid = 'jsonb'::regtype AND attnum > 0""",
        [sorted(KEPT - set(NOT_IN_JSON_FILES))],
    ).fetchall()
    assert {str(column) for _, column in rows} == JSON_COLUMNS, (
        "Change JSON_COLUMNS of snapshots/engine/archive_resources.py"
    )
