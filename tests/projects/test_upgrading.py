"""Databases of older versions get what they lack, once."""

import json
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from tests.factories import make_project_row

LACKING = (
    "DROP INDEX device_name",
    "DROP TABLE transfer_resource CASCADE",
)


def upgrade() -> dict[str, dict[str, object]]:
    said = StringIO()
    call_command("upgrade_databases", "--json", stdout=said)
    return dict(json.loads(said.getvalue()))


def test_a_database_of_an_older_version_gets_what_it_lacks(live_project: Project) -> None:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as database:
        for statement in LACKING:
            database.execute(statement)
        assert upgrade()["added"] == {live_project.slug: ["the ledger of transfers", "device_name"]}
        found = database.execute(
            "SELECT to_regclass('device_name'), to_regclass('transfer_resource')"
        )
        assert None not in (found.fetchone() or [None])
    assert upgrade() == {"added": {live_project.slug: []}, "failed": {}, "open_large_objects": []}


def test_one_that_does_not_answer_is_named_and_stops_no_other(live_project: Project) -> None:
    gone = make_project_row(owner=live_project.created_by)
    said = StringIO()
    with pytest.raises(CommandError, match=f"(?s)not upgraded.*{gone.slug}: "):
        call_command("upgrade_databases", stdout=said)
    assert "1 databases are up to date" in said.getvalue()
