"""A killed `migrate` continues when it is started again."""

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

OURS = ("backups_portal.", "snapshots", "restores")
Key = tuple[str, str]


def of_several_transactions() -> list[Key]:
    """Return the migrations whose changes survive when they are killed."""
    loader = MigrationLoader(None)
    ours = {app.label for app in apps.get_app_configs() if app.name.startswith(OURS)}
    found = loader.disk_migrations.items()
    return sorted(key for key, one in found if key[0] in ours and not one.atomic)


def invalid_indexes() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        return [str(name) for (name,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", of_several_transactions(), ids=".".join)
def test_one_that_was_not_written_down_is_made_again(key: Key) -> None:
    """All its steps are done already, as if it was killed after the last one."""
    loader = MigrationExecutor(connection).loader
    migration = loader.get_migration(*key)
    with connection.schema_editor(atomic=False) as editor:
        migration.apply(loader.project_state(key, at_end=False), editor)
    assert invalid_indexes() == []
