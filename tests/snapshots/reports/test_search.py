"""Backups with records of a variable on some days are found without opening segments."""

from datetime import date

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.reports.lost_rows import find_rows
from tests.projectdatabases import DEVICE, add_rows
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshots(live_project: Project, client: Client, stored: Storage) -> list[Snapshot]:
    """The newer one has one more variable, and rows on four days; neither has its segments."""
    older = taken(live_project, days_ago=1)
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute(
            "INSERT INTO series (id, device_id, variable, type) VALUES (9, %s, 'wind', 'number')",
            [DEVICE],
        )
        for day in (1, 2, 3):
            add_rows(source, day, 5, series=9)
    newer = taken(live_project)
    for snapshot in (older, newer):
        for segment in Manifest.load(stored, snapshot.manifest).of("variable"):
            stored.delete(segment.key)
    client.force_login(live_project.created_by)
    return [newer, older]


def test_rows_of_some_days(live_project: Project, snapshots: list[Snapshot]) -> None:
    found = find_rows(live_project, DEVICE, date(2026, 3, 1), date(2026, 3, 3))
    assert [one.snapshot for one in found.holdings] == snapshots
    assert [one.rows for one in found.holdings] == [20, 10]
    assert found.now == 20
    assert find_rows(live_project, DEVICE, date(2026, 3, 2)).now == 5


def test_backups_without_the_variable_have_none_of_it(
    live_project: Project, snapshots: list[Snapshot]
) -> None:
    found = find_rows(live_project, DEVICE, variable="wind")
    assert [(one.rows, one.has_variable) for one in found.holdings] == [(25, True), (0, False)]


def page(client: Client, project: Project, query: str, status: int = 200) -> str:
    response = client.get(f"/projects/{project.slug}/backups/find/?device=truck&{query}")
    assert response.status_code == status
    return " ".join(response.content.decode().split())


def test_the_page_leads_inside(
    client: Client, live_project: Project, snapshots: list[Snapshot]
) -> None:
    newer, older = snapshots
    shown = page(client, live_project, "variable=wind&day=2026-03-02&last_day=2026-03-03")
    query = "variable=wind&amp;since=2026-03-02T00%3A00&amp;until=2026-03-04T00%3A00"
    inside = f"/projects/{live_project.slug}/backups/{newer.pk}/devices/{DEVICE}/"
    assert f'href="{inside}?{query}"' in shown
    # A restore for them moves these rows back, and no others.
    rows = "day=2026-03-02&amp;last_day=2026-03-03&amp;variable=wind"
    assert f"/backups/{newer.pk}/restore/?device={DEVICE}&amp;{rows}" in shown
    assert "No wind of this device" in shown
    assert f"{older.pk}/devices/" not in shown
    assert "to 3 Mar" in shown
    assert "until=" not in page(client, live_project, "day=9999-12-31")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("last_day=2026-03-03", "Enter the first day, too."),
        ("day=2026-03-03&last_day=2026-03-02", "not before the first one"),
    ],
)
def test_a_wrong_period_is_said_to_be(
    client: Client, live_project: Project, query: str, said: str
) -> None:
    client.force_login(live_project.created_by)
    assert said in page(client, live_project, query)


def test_a_device_that_is_gone_is_said_to_be(
    client: Client, live_project: Project, snapshots: list[Snapshot]
) -> None:
    gone = "itself is gone from"
    assert gone not in page(client, live_project, "")
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute("DELETE FROM device WHERE id = %s", [DEVICE])
    found = find_rows(live_project, DEVICE, date(2026, 3, 1), date(2026, 3, 3))
    assert (found.now, found.is_device_gone) == (0, True)
    assert gone in page(client, live_project, "")


def test_a_device_that_has_another_name_now_is_named(
    client: Client, live_project: Project, snapshots: list[Snapshot]
) -> None:
    assert "It is called" not in page(client, live_project, "")
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute("UPDATE device SET name = 'Old' WHERE id = %s", [DEVICE])
        shown = page(client, live_project, "")
        assert f"It is called Old in {live_project.name} now." in shown
        assert "Another device" not in shown
        source.execute(
            "INSERT INTO device (id, name, type) VALUES (repeat('e', 24), 'Truck', 'mutable')"
        )
        assert "Another device there has its old name." in page(client, live_project, "")
        # A move matches devices by name, too.
        source.execute("DELETE FROM device WHERE id = %s", [DEVICE])
    shown = page(client, live_project, "")
    assert "the dry run says whether its rows move into that one" in shown
    assert "brings the device back" not in shown


def test_a_project_without_backups_is_said_to_have_none(
    client: Client, live_project: Project
) -> None:
    client.force_login(live_project.created_by)
    shown = page(client, live_project, "")
    assert "This project has no stored backup" in shown
    assert "Try a part of its name" not in shown
    taken(live_project)
    assert "no stored backup" not in page(client, live_project, "").lower()


def test_a_variable_that_no_backup_has_is_said_to_be_unknown(
    client: Client, live_project: Project, snapshots: list[Snapshot]
) -> None:
    shown = page(client, live_project, "variable=Wind")
    assert "No backup of this device has such a variable" in shown
    assert "Check how Wind is written" in shown
    assert "Try another day" not in shown


def test_sums_over_all_variables_do_not_pass_for_one_variables(
    client: Client, live_project: Project, snapshots: list[Snapshot]
) -> None:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute("DELETE FROM variable WHERE series_id = 9")
        shown = page(client, live_project, "variable=wind")
        assert "15 rows of Truck are missing, counted over all of its variables." in shown
        assert "then move those of wind back" in shown
        # As many new rows of other variables hide the loss.
        add_rows(source, 1, 30, series=1)
    shown = page(client, live_project, "variable=wind")
    assert "Rows of wind may be lost all the same" in shown
    assert "values were changed" not in shown


def test_the_command_says_how_many_devices_it_does_not_name(live_project: Project) -> None:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute(
            "INSERT INTO device (id, name, type) SELECT lpad(n::text, 24, '0'), 'Van', 'mutable'"
            " FROM generate_series(1, 27) AS n"
        )
    taken(live_project)
    with pytest.raises(CommandError, match=r"^27 devices match “van”: .* and 2 more$"):
        call_command("snapshots", "find", live_project.slug, "van")
