"""During an update, old processes can insert rows into new tables."""

from django.apps import apps
from django.db.migrations import AddField
from django.db.migrations.loader import MigrationLoader

PACKAGES = {"backups_portal", "restores", "snapshots"}
# Migrations up to the first release, before which there was nothing to update.
FIRST = {
    ("projects", "0002_proof_policy"),
    ("projects", "0004_server_capacity"),
    ("projects", "0008_invitations_of_addresses"),
    ("restores", "0003_proof"),
    ("snapshots", "0002_verdict"),
    ("snapshots", "0003_retries"),
    ("snapshots", "0004_size_note"),
    ("transfers", "0002_pace"),
}


def lacks_value(operation: object) -> bool:
    """Tell whether rows need a value for the column, and the database has none."""
    if not isinstance(operation, AddField):
        return False
    field = operation.field
    return not (field.null or field.has_db_default() or field.many_to_many)


def is_ours(app: str) -> bool:
    return apps.get_app_config(app).name.partition(".")[0] in PACKAGES


def test_an_added_column_needs_no_value_of_older_processes() -> None:
    ours = {
        key: one for key, one in MigrationLoader(None).disk_migrations.items() if is_ours(key[0])
    }
    assert {key for key, one in ours.items() if any(map(lacks_value, one.operations))} == FIRST
