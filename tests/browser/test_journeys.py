"""What people come for, from the first click to the result; with a real worker behind it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from backups_portal.billing.models import Charge
from backups_portal.lib.pulse import WORKER, last_sign
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.tasks import run_schedule
from tests import factories
from tests.access.table import TABLE
from tests.browser.conftest import Enter, Portal
from tests.browser.scene import Scene, live_project
from tests.conftest import running_worker

DONE = re.compile("Stored|Proven")
EMPTY = "Backup snapshots will appear here once they are created."
# Of a restore or a backup, with all that a busy machine may add.
SOON = 30_000


@pytest.fixture(scope="module")
def scene(portal: Portal) -> Iterator[Scene]:
    with running_worker(portal.storage, portal.folder / "worker.log"):
        yield Scene()


def sign_in(page: Page, email: str) -> None:
    """By the form, as everybody does."""
    page.goto("/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def in_navigation(page: Page, name: str) -> Locator:
    """A line of the sidebar."""
    return page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True)


def by_keyboard(page: Page, name: str) -> None:
    """Press Tab until an element whose name matches has the focus, which must be seen; Enter."""
    reached = f"""() => {{
        const text = document.activeElement.getAttribute("aria-label")
            ?? document.activeElement.textContent;
        return new RegExp({name!r}).test(text.trim());
    }}"""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(reached):
            ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert ring != "none", f"nobody sees that “{name}” has the focus"
            return page.keyboard.press("Enter")
    raise AssertionError(f"the keyboard does not reach “{name}”")


def assert_ready(page: Page) -> None:
    """A restore came to its result, on the page that showed its progress."""
    expect(page.get_by_role("heading", name="The project is ready")).to_be_visible(timeout=SOON)


def test_from_the_first_sign_in_to_the_empty_state(enter: Enter, scene: Scene) -> None:
    page = enter().new_page()
    sign_in(page, scene.owner.email)
    page.get_by_role("link", name="Brand new").click()
    page.get_by_role("navigation", name="Main").get_by_role(
        "link", name="Backups", exact=True
    ).click()
    expect(page.get_by_text(EMPTY)).to_be_visible()
    assert last_sign(WORKER) is not None


def test_a_backup_appears_without_a_reload(enter: Enter, scene: Scene) -> None:
    project = live_project(scene.owner, "Watched")
    MainDatabase.objects.filter(project=project).update(next_snapshot_at=timezone.now())
    page = enter(scene.owner).new_page()
    page.clock.install()
    page.goto(f"/projects/{project.slug}/backups/")
    expect(page.get_by_text(EMPTY)).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    run_schedule(timezone.now())
    for _ in range(60):
        page.clock.run_for(15_000)
        if page.locator(".state", has_text=DONE).count():
            break
        page.wait_for_timeout(250)
    expect(page.get_by_text(EMPTY)).to_have_count(0)
    expect(page.get_by_role("row")).to_have_count(2)
    assert page.evaluate("window.neverReloaded")
    assert Snapshot.objects.get(project=project).state == "completed"


def test_restore_by_keyboard_alone(enter: Enter, scene: Scene) -> None:
    page = enter().new_page()
    page.goto("/")
    # The first field has the focus already.
    page.keyboard.type(scene.owner.email)
    page.keyboard.press("Tab")
    page.keyboard.type(factories.PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_title("Projects · Backups Portal")
    by_keyboard(page, "^Cold Chain$")
    page.wait_for_url("**/projects/cold-chain/")
    by_keyboard(page, "^Backups$")
    page.wait_for_url("**/backups/")
    by_keyboard(page, "^Actions for the backup of")
    by_keyboard(page, "New project from backup")
    page.wait_for_url("**/restore/")
    name = page.get_by_label("Name of the new project")
    while not name.evaluate("field => field === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("By keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_label("I accept these charges")).to_be_checked()
    by_keyboard(page, "Create project from backup")
    page.wait_for_url("**/restores/*/")
    assert_ready(page)
    by_keyboard(page, "Open the project")
    expect(page.get_by_role("heading", name="By keyboard", level=1)).to_be_visible()


def test_restore_on_a_phone(enter: Enter, scene: Scene) -> None:
    context = enter(scene.owner, viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"/projects/{scene.project.slug}/")
    page.get_by_role("button", name="Open navigation").tap()
    page.get_by_role("navigation", name="Main").get_by_role(
        "link", name="Backups", exact=True
    ).tap()
    page.wait_for_url("**/backups/")
    page.locator(f"#backup-{scene.snapshot.pk} summary").tap()
    page.get_by_role("link", name="New project from backup").first.tap()
    page.get_by_label("Name of the new project").fill("By phone")
    page.get_by_label("I accept these charges").check()
    page.get_by_role("button", name="Create project from backup").tap()
    assert_ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_restore_without_javascript(enter: Enter, scene: Scene) -> None:
    page = enter(java_script_enabled=False).new_page()
    sign_in(page, scene.owner.email)
    page.goto(f"/projects/{scene.project.slug}/backups/{scene.snapshot.pk}/restore/")
    page.get_by_role("button", name="Create project from backup").click()
    # Nothing begins before the charges are accepted.
    expect(page).to_have_url(re.compile("/restore/$"))
    page.get_by_label("Name of the new project").fill("Without scripts")
    page.get_by_label("I accept these charges").check()
    page.get_by_role("button", name="Create project from backup").click()
    for _ in range(60):
        if page.get_by_role("heading", name="The project is ready").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    assert_ready(page)


def test_retention_is_shortened_after_a_preview(enter: Enter, scene: Scene) -> None:
    project = factories.make_project_row(owner=scene.owner, name="Long memory")
    now = datetime.now(UTC)
    for days in range(6):
        factories.make_snapshot(project, taken_at=now - timedelta(days=days, hours=1))
    page = enter(scene.owner).new_page()
    page.goto(f"/projects/{project.slug}/main-database/")
    page.get_by_label("Backup retention period").fill("3")
    page.get_by_role("button", name="Save backup settings").click()
    expect(page.get_by_text("This will delete 3 backups")).to_be_visible()
    assert MainDatabase.objects.get(project=project).retention_days == 7
    page.get_by_role("button", name="Delete 3 backups and save").click()
    expect(page.get_by_text("Your backup settings are saved.")).to_be_visible()
    assert MainDatabase.objects.get(project=project).retention_days == 3


def test_shutting_down_stops_the_charge(enter: Enter, scene: Scene) -> None:
    project = live_project(scene.owner, "To be ended")
    page = enter(scene.owner).new_page()
    page.goto(f"/projects/{project.slug}/")
    page.get_by_role("link", name="Shut down…").click()
    page.get_by_label("Project name").fill("Something else")
    page.get_by_role("button", name="Shut down").click()
    expect(page.get_by_text("That is not the name of this project.")).to_be_visible()
    page.get_by_label("Project name").fill("To be ended")
    page.get_by_role("button", name="Shut down").click()
    expect(page.get_by_role("heading", name="This project is shut down")).to_be_visible()
    project.refresh_from_db()
    assert project.state == Project.State.SHUT_DOWN
    assert not Charge.objects.filter(project_id=project.pk, kind="running", ends_at=None).exists()
    page.get_by_role("button", name="Start again").click()
    expect(page.get_by_text("runs, and costs again from now on")).to_be_visible()


def test_a_collaborator_is_refused_everywhere_and_a_stranger_finds_nothing(
    enter: Enter, scene: Scene
) -> None:
    collaborator = enter(scene.collaborator).new_page()
    stranger = enter(scene.stranger)
    closed = [name for name, row in TABLE.items() if row["collaborator"]["GET"] == 403]
    assert "backups" in closed
    for name in closed:
        assert collaborator.request.get(scene.url(name)).status == 403, name
        assert stranger.request.get(scene.url(name)).status == 404, name
    collaborator.goto(scene.url("project"))
    expect(in_navigation(collaborator, "Main Database")).to_be_visible()
    expect(in_navigation(collaborator, "Backups")).to_have_count(0)
    collaborator.goto(scene.url("backups"))
    expect(collaborator.get_by_text("Collaborators cannot access backup features.")).to_be_visible()


def test_an_invitation_is_accepted_on_the_list_of_projects(enter: Enter, scene: Scene) -> None:
    guest = factories.make_account("guest@example.com")
    page = enter(scene.owner).new_page()
    page.goto(scene.url("members"))
    page.get_by_label("E-mail").fill(guest.email)
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_text("Pending")).to_be_visible()
    page = enter(guest).new_page()
    page.goto("/")
    page.get_by_role("button", name="Accept the invitation to Cold Chain").click()
    expect(page.get_by_text("You are a member of Cold Chain now.")).to_be_visible()
