"""Every page of a project whose time zone was withdrawn still opens and says so."""

from collections.abc import Iterator

import pytest

from backups_portal.celery import app
from backups_portal.projects.models import MainDatabase
from tests.access.table import TABLE
from tests.access.test_table import World, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db
TITLE = "The time zone Asia/Hanoi no longer exists"


@pytest.fixture(autouse=True)
def _given_up(world: World) -> None:
    """Set a zone that some systems still know and tzdata does not."""
    MainDatabase.objects.update(backup_time_zone="Asia/Hanoi")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_page_answers_as_ever(world: World, method: str) -> None:
    given = {}
    world.enter("owner")
    for name in TABLE:
        # Undo each request, so that every page is answered in the same state.
        with world.undone():
            given[name] = world.ask_again("owner", method, name).status_code
    assert given == {name: row["owner"][method] for name, row in TABLE.items()}


def test_pages_of_the_project_say_so(world: World) -> None:
    for name in ("project", "backups", "main-database", "snapshot", "restore-confirm", "restore"):
        page = world.ask("owner", "GET", name).text
        assert page.count(TITLE) == 1, name
    MainDatabase.objects.update(backup_time_zone="Asia/Ho_Chi_Minh")
    assert "no longer exists" not in world.ask("owner", "GET", "backups").text


def test_other_settings_are_saved_and_the_zone_stays_as_it_is(world: World) -> None:
    form = {"backup_time": "05:15", "backup_time_zone": "Asia/Hanoi", "retention_days": "9"}
    world.client.force_login(world.accounts["owner"])
    url = world.url("main-database")
    assert world.client.post(url, form).status_code == 302
    row = MainDatabase.objects.get(pk=world.project.pk)
    assert (row.backup_time_zone, row.retention_days) == ("Asia/Hanoi", 9)
    assert f"{row.next_snapshot_at:%H:%M}" == "05:15"
    refused = world.client.post(url, {**form, "backup_time_zone": "localtime"})
    assert refused.status_code == 400
    assert "“localtime” is not a time zone" in refused.text


@pytest.mark.parametrize("zone", ["Asia/Hanoi", "localtime", "posixrules", "../tzdata/zones"])
def test_a_viewer_with_such_a_zone_sees_the_projects_clocks(world: World, zone: str) -> None:
    world.client.force_login(world.accounts["owner"])
    world.client.cookies["zone"] = zone
    assert world.client.get(world.url("backups")).status_code == 200


@pytest.fixture
def _at_once() -> Iterator[None]:
    """Run tasks at once instead of sending them to a worker."""
    # No other test may have imported the task modules yet.
    app.loader.import_default_modules()
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.mark.usefixtures("world", "_at_once")
def test_every_periodic_task_ends() -> None:
    for entry in app.conf.beat_schedule.values():
        app.tasks[entry["task"]]()
