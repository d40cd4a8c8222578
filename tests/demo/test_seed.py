"""The seeded story is plausible: nothing in it is older than its origin."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from unittest import mock

import psycopg
import pytest
from django.db import connection as control
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.demo import fleet, seed
from backups_portal.objectives.standings import standings_of
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projectdb.tokens import SEALED, TokenGrant, create_token, reveal
from backups_portal.projects.database_dsn import keyring, project_dsn, server_url
from backups_portal.projects.models import Project
from backups_portal.projects.servers import register_server
from backups_portal.tagoio_api import settings as api_settings
from snapshots.models import Snapshot
from tests.tagoio_api.conftest import Api

BACKUPS = 3


@dataclass(frozen=True)
class Seeded:
    """The three projects of the story."""

    fleet: Project
    restored: Project
    greenhouse: Project

    def all(self) -> tuple[Project, ...]:
        """Return all three."""
        return self.fleet, self.restored, self.greenhouse


@pytest.fixture
def seeded(transactional_db: None, storage_url: str) -> Iterator[Seeded]:
    """A smaller fleet and fewer days, seeded as the demo does, and seeded again."""
    with (
        mock.patch.dict(os.environ, {"DEMO_PASSWORD": "correct horse battery"}),
        mock.patch.object(fleet, "TRUCKS", 4),
        mock.patch.object(seed, "DAYS_OF_BACKUPS", BACKUPS),
    ):
        seed.seed(lambda line: None)
        seed.seed(lambda line: None)
    names = (seed.FLEET, seed.RESTORED, seed.GREENHOUSE)
    yield Seeded(*(Project.objects.select_related("server").get(name=name) for name in names))
    for project in Project.objects.select_related("server"):
        drop_database(server_url(project.server), prefix=project.prefix)


def asked(project: Project, query: str, *values: Any) -> list[Any]:
    """Return a query's first column from a project's database."""
    with psycopg.connect(project_dsn(project)) as connection:
        return [row[0] for row in connection.execute(query.encode(), values)]


# Each query returns impossible rows.
IMPOSSIBLE = {
    "records before their device": """
        SELECT device.name || ' ' || variable.time FROM variable
        JOIN series ON series.id = series_id JOIN device ON device.id = device_id
        WHERE variable.time <= device.created_at""",
    "records stored before they were measured, or of the future": """
        SELECT id::text FROM variable WHERE created_at < time OR time > now()""",
    "records stored days after they were measured": """
        SELECT id::text FROM variable WHERE created_at > time + interval '1 minute'""",
    "devices whose newest record is newer than their last input, or far older": """
        SELECT name FROM device LEFT JOIN LATERAL (
            SELECT max(time) AS newest FROM variable
            JOIN series ON series.id = series_id WHERE series.device_id = device.id) AS v ON true
        WHERE last_input IS NULL OR newest IS NULL
              OR last_input NOT BETWEEN newest AND newest + interval '1 minute'""",
    "edits before the creation": """
        SELECT id::text FROM device WHERE updated_at < created_at OR created_at > now()""",
    "analyses that ran before they were there": """
        SELECT name FROM analysis WHERE last_run IS NULL OR last_run NOT BETWEEN created_at
               AND now()""",
    "console lines before their analysis": """
        SELECT message FROM analysis_console JOIN analysis ON analysis.id = analysis_id
        WHERE time NOT BETWEEN analysis.created_at AND now()""",
    "scripts in a language that their runtime does not run": """
        SELECT name FROM analysis JOIN analysis_script ON analysis_id = analysis.id
        WHERE CASE language WHEN 'python' THEN runtime NOT LIKE 'python%%'
                            ELSE runtime NOT LIKE 'node%%' END
              OR run_on <> 'tago'""",
    "actions triggered before they were there": """
        SELECT name FROM action WHERE last_triggered NOT BETWEEN created_at AND now()""",
    "attachments after the record that refers to them": """
        SELECT name FROM attachment JOIN variable_record ON
            metadata->'file'->>'attachment' = attachment.id WHERE attachment.created_at > time""",
}
# Only the database that has these devices stores their tokens and requests.
IMPOSSIBLE_IN_THE_FLEET = {
    "tokens older or younger than their device": """
        SELECT token.name FROM token JOIN device ON device.id = device_id
        WHERE token.created_at <> device.created_at""",
    "devices that sent without their token": """
        SELECT device.name FROM token JOIN device ON device.id = device_id
        WHERE token.last_used_at IS DISTINCT FROM device.last_input""",
}
# These queries run on the portal's own database.
IMPOSSIBLE_IN_THE_PORTAL = {
    "projects before their owner": """
        SELECT p.name FROM projects_project p JOIN accounts_account a ON a.id = created_by_id
        WHERE p.created_at < a.created_at""",
    "members before their project or their account": """
        SELECT p.name FROM projects_membership m JOIN projects_project p ON p.id = m.project_id
        JOIN accounts_account a ON a.id = m.account_id
        WHERE m.created_at < p.created_at OR m.created_at < a.created_at OR m.created_at > now()""",
    "charges that begin before or long after their project": """
        SELECT p.name FROM billing_charge c JOIN projects_project p ON p.id = c.project_id
        WHERE abs(extract(epoch FROM c.starts_at - p.created_at)) > 60""",
    "backups before their project": """
        SELECT p.name FROM snapshots_snapshot s JOIN projects_project p ON p.id = s.project_id
        WHERE s.scheduled_for < p.created_at OR s.taken_at > now()""",
    "backups out of their order": """
        SELECT id FROM snapshots_snapshot
        WHERE NOT (scheduled_for <= started_at AND started_at <= taken_at AND taken_at <=
                   finished_at AND finished_at <= scheduled_for + interval '1 hour')""",
    "restores before their backup": """
        SELECT name FROM restores_restore r JOIN snapshots_snapshot s ON s.id = r.snapshot_id
        WHERE r.created_at < s.finished_at""",
    "events before their project": """
        SELECT action FROM audit_auditevent e JOIN projects_project p ON p.id = e.project_id
        WHERE e.at < p.created_at - interval '1 second' OR e.at > now()""",
    "projects that should have had a backup": """
        SELECT name FROM projects_project p JOIN projects_maindatabase m ON m.project_id = p.id
        WHERE m.next_snapshot_at <= now()""",
}


def test_nothing_in_it_is_impossible(seeded: Seeded, settings: Settings) -> None:
    for project in seeded.all():
        queries = IMPOSSIBLE if project == seeded.restored else IMPOSSIBLE | IMPOSSIBLE_IN_THE_FLEET
        assert {what: found for what, q in queries.items() if (found := asked(project, q))} == {}
    with control.cursor() as cursor:
        found = {}
        for what, query in IMPOSSIBLE_IN_THE_PORTAL.items():
            cursor.execute(query)
            found[what] = cursor.fetchall()
    assert found == {what: [] for what in found}
    assert_no_backup_has_a_later_day(seeded.fleet)
    assert_objectives_are_known(seeded.fleet)
    assert_device_backup_has_all(seeded.fleet, settings)
    assert_a_silent_server_is_reported(seeded.greenhouse)


def assert_no_backup_has_a_later_day(project: Project) -> None:
    """Assert that each backup has exactly the records that existed when it was taken."""
    snapshots = list(Snapshot.objects.completed().filter(project=project).order_by("taken_at"))
    assert len(snapshots) == BACKUPS
    for snapshot in snapshots:
        until = asked(
            project, "SELECT count(*) FROM variable WHERE created_at <= %s", snapshot.taken_at
        )
        assert until == [snapshot.table_rows["variable"]]


def assert_a_silent_server_is_reported(greenhouse: Project) -> None:
    """Assert that a silent server puts seeding off to the next start."""
    said: list[str] = []
    silent = register_server("silent", "postgresql://127.0.0.1:1/postgres")
    Project.objects.filter(pk=greenhouse.pk).update(server=silent)
    seed.seed(said.append)
    Project.objects.filter(pk=greenhouse.pk).update(server=greenhouse.server)
    assert len(said) == 1
    assert said[0].startswith("The sample data could not be checked: ")


def assert_device_backup_has_all(project: Project, settings: Settings) -> None:
    """Run the CLI's `device-backup`: month by month from the device's creation, 10,000 each."""
    settings.ROOT_URLCONF = api_settings.ROOT_URLCONF
    settings.MIDDLEWARE = api_settings.MIDDLEWARE
    with psycopg.connect(project_dsn(project)) as connection:
        profile = create_token(connection, TokenGrant("profile", name="CLI"), keys=keyring()).value
        devices = connection.execute(
            f"SELECT device.id::text, {SEALED} FROM device JOIN token ON device_id = device.id"
        ).fetchall()
    for device_id, *sealed in devices:
        device = Api(reveal(*sealed, keys=keyring()), Client())
        created = Api(profile, Client()).get(f"/device/{device_id}")["created_at"]
        found = set()
        for first, after in months(datetime.fromisoformat(created).date()):
            query = f"start_date={first}&end_date={after}&qty=10000"
            found |= {record["id"] for record in device.get(f"/data?{query}")}
        count = asked(project, "SELECT count(*) FROM variable_record WHERE device = %s", device_id)
        assert [len(found)] == count


def months(day: date) -> Iterator[tuple[date, date]]:
    """Yield the first days of each month from one on until now, and of the month after it."""
    first = day.replace(day=1)
    while first <= date.today():
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        yield first, after
        first = after


def assert_objectives_are_known(fleet: Project) -> None:
    """Assert that the fleet has both objectives, and a measured restore."""
    standings = standings_of(fleet, timezone.now())
    assert [one.objective.target_name for one in standings] == [
        "at most 26 hours",
        "at most 30 minutes",
    ]
    assert standings[1].state == "met"
