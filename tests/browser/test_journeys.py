"""What users come for, from the first click to the result, with a real worker.

Each journey is made in every way: with a mouse, by keyboard alone, on a phone, without scripts.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, expect

from backups_portal.billing.models import Charge
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.signed_envelope import read_evidence
from backups_portal.lib.liveness import WORKER, last_sign
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.tasks import run_schedule
from tests import factories
from tests.access.table import TABLE
from tests.browser.conftest import MIN_SHIFT, Enter, Portal
from tests.browser.hands import PHONE, WAYS, Hand, hand
from tests.browser.scene import Scene, live_project, lose_rows, set_settings, stored_backup
from tests.conftest import running_worker

DONE = re.compile("Stored|Proven")
# Counts the elements, texts and comments.
NODES = """() => {
  const walker = document.createTreeWalker(document.body);
  let count = 0;
  while (walker.nextNode()) count += 1;
  return count;
}"""
EMPTY = "Backup snapshots will appear here once they are created."
# The wait for a restore or a backup (ms), with room for a busy machine.
SOON = 30_000
# The limit from the list of projects until lost data is back.
MAX_CLICKS = 8


@pytest.fixture(scope="module")
def scene(portal: Portal) -> Iterator[Scene]:
    with running_worker(portal.storage, portal.folder / "worker.log"):
        yield Scene()


def sign_in(hand: Hand, email: str) -> None:
    """Sign in by the form, as users do."""
    hand.page.goto("/")
    hand.write("E-mail", email)
    hand.write("Password", factories.PASSWORD)
    hand.press("Sign in")
    expect(hand.page).to_have_title("Projects · Backups Portal")


def enter_project(hand: Hand, project: Project) -> None:
    """Sign in as an owner, and open a project."""
    sign_in(hand, project.created_by.email)
    if hand.page.get_by_role("link", name=project.name, exact=True).count():
        hand.press(project.name, role="link")
    else:
        # It is on a later page of the list.
        hand.page.goto(f"/projects/{project.slug}/")
    expect(hand.page.get_by_role("heading", name=project.name, level=1)).to_be_visible()


def wait_for(hand: Hand, result: Locator) -> None:
    """Wait until the page shows the result by itself, or reload it without scripts."""
    if hand.way == "no scripts":
        for _ in range(60):
            if result.count():
                break
            hand.page.wait_for_timeout(500)
            hand.page.reload()
    expect(result).to_be_visible(timeout=SOON)


@pytest.mark.parametrize("way", WAYS)
def test_from_the_first_sign_in_to_the_empty_state(enter: Enter, scene: Scene, way: str) -> None:
    person = hand(way, enter)
    enter_project(person, scene.empty)
    person.navigate("Backups")
    expect(person.page.get_by_text(EMPTY)).to_be_visible()
    assert last_sign(WORKER) is not None


@pytest.mark.parametrize("way", WAYS)
def test_from_a_backup_to_a_new_project_and_its_tokens(
    enter: Enter, scene: Scene, way: str
) -> None:
    person = hand(way, enter)
    enter_project(person, scene.project)
    person.navigate("Backups")
    person.press(f"Restore the backup of {scene.snapshot.day_name}", role="link")
    expect(person.page.get_by_role("heading", name="New project from backup")).to_be_visible()
    person.write("Name of the new project", f"Recovered: {way}")
    person.press("Create project from backup")
    # Nothing starts before the charges are accepted.
    expect(person.page).to_have_url(re.compile("/restore/$"))
    expect(person.page.get_by_text("Accept the charges")).to_be_visible()
    person.tick("I accept these charges")
    person.press("Create project from backup")
    wait_for(person, person.page.get_by_role("heading", name="The project is ready"))
    person.press("New tokens by resource", role="link")
    if way == "no scripts":
        person.press("Show tokens", role="link")
    person.act(person.page.get_by_role("button", name=re.compile("^Reveal the token")).first)
    value = person.page.locator("#token").inner_text()
    project = Project.objects.get(name=f"Recovered: {way}")
    assert re.fullmatch(f"(?:[ap]-)?{project.prefix}-[0-9a-f-]{{27}}", value)
    checklist = person.page.get_by_role("link", name="Checklist as CSV").get_attribute("href")
    answer = person.page.request.get(str(checklist))
    assert answer.headers["content-type"].startswith("text/csv")
    assert value[-4:] in answer.text()
    assert value not in answer.text()


def test_who_goes_back_after_a_restore_has_accepted_nothing_again(
    enter: Enter, scene: Scene
) -> None:
    page = enter(scene.owner).new_page()
    page.goto(scene.url("restore-confirm"))
    accept = page.get_by_label("I accept these charges")
    page.get_by_label("Name of the new project").fill("Made once")
    accept.check()
    page.get_by_role("button", name="Create project from backup").click()
    expect(page.get_by_role("heading", name="Made once", level=1)).to_be_visible()
    page.go_back()
    expect(accept).not_to_be_checked()
    expect(page.get_by_text("This is not the first restore of this backup")).to_be_visible()


@pytest.mark.parametrize("way", WAYS)
def test_lost_data_moves_to_where_it_belongs_and_back(enter: Enter, scene: Scene, way: str) -> None:
    """The owner goes from “I lost the truck's data” to “it is back” without typing an id."""
    project = live_project(scene.owner, f"Damaged: {way}")
    stored_backup(project)
    lose_rows(project, 3)
    person = hand(way, enter)
    enter_project(person, project)
    # The project's row, wherever it is in the list.
    person.clicks = 1
    person.press("Find lost rows", role="link")
    person.write("Device", "Truck")
    person.press("Search all backups")
    page = person.page
    answer = page.get_by_role("heading", name=re.compile("^Now: 7 rows; most in .*: 10$"))
    expect(answer).to_be_focused()
    person.act(page.get_by_role("link", name=re.compile("^Restore the backup of")).first)
    person.tick("I accept these charges")
    person.press("Create project from backup")
    wait_for(person, page.get_by_role("heading", name="The project is ready"))
    person.press(f"Move Truck back to {project.name}")
    ready = page.get_by_role("heading", name="Ready to move")
    wait_for(person, ready)
    expect(ready).to_be_focused()
    device = page.get_by_role("row").filter(has_text="Truck")
    expect(device.get_by_role("cell")).to_contain_text(["10", "3", "7", "0", "0", "ID"])
    expect(page.get_by_role("main")).to_have_count(1)
    person.press("Move the data")
    wait_for(person, page.get_by_text("Both sides agree"))
    assert person.clicks <= MAX_CLICKS
    expect(page.get_by_role("heading", name="3 records are back in Damaged")).to_be_focused()
    end = "Shut down the backup project \N{EN DASH} 0.068 USD an hour until then"
    expect(page.get_by_role("link", name=end)).to_be_visible()
    expect(device.get_by_role("cell")).to_contain_text(["10", "3", "7", "0", "0", "equal"])
    person.act(page.get_by_text("Undo …"))
    person.press("Undo this transfer")
    wait_for(person, page.get_by_text("3 records removed"))
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("heading", name="This transfer is undone")).to_be_focused()


@pytest.mark.parametrize("way", WAYS)
def test_edited_tags_and_parameters_come_back(enter: Enter, scene: Scene, way: str) -> None:
    source, target = (live_project(scene.owner, f"{name}: {way}") for name in ("Was", "Is"))
    set_settings(source, site="North", password="old secret")
    set_settings(target, site="South", password="new secret")
    person = hand(way, enter)
    enter_project(person, source)
    person.navigate("Move data")
    person.choose("Into", target.name)
    person.choose(
        "Tags and parameters of devices that exist there", "Bring back only these, and no records"
    )
    person.press("Start the dry run")
    page = person.page
    wait_for(person, page.get_by_role("heading", name="Ready to move"))
    expect(page.get_by_text("1 device's tags and parameters will be brought back.")).to_be_visible()
    device = page.get_by_role("row").filter(has_text="Truck")
    expect(device.get_by_role("listitem")).to_have_text(
        [
            "tag site: “South” → “North”",
            "parameter wifi_password: changed (not shown)",
        ]
    )
    person.press("Bring tags and parameters back")
    back = page.get_by_role("heading", name="Tags and parameters of 1 device are back")
    wait_for(person, back)
    expect(back).to_be_focused()
    expect(page.get_by_text("secret")).to_have_count(0)
    person.act(page.get_by_text("Undo …"))
    person.press("Undo this transfer")
    wait_for(person, page.get_by_text("tags and parameters of 1 device put back"))


@pytest.mark.parametrize("way", WAYS)
def test_retention_is_shortened_after_a_preview(enter: Enter, scene: Scene, way: str) -> None:
    project = factories.make_project_row(owner=scene.owner, name=f"Long memory: {way}")
    now = datetime.now(UTC)
    for days in range(6):
        factories.make_snapshot(project, taken_at=now - timedelta(days=days, hours=1))
    person = hand(way, enter)
    enter_project(person, project)
    person.navigate("Main Database")
    period = person.page.get_by_label("Backup retention period")
    expect(period).to_be_visible()
    # A visitor who used the skip link has its anchor in the address.
    person.page.goto(f"{person.page.url}#content")
    person.write("Backup retention period", "0")
    person.press("Save backup settings")
    expect(person.page.get_by_text("is not a retention period")).to_be_in_viewport()
    expect(period).to_be_focused()
    person.write("Backup retention period", "3")
    person.press("Save backup settings")
    expect(person.page.get_by_text("This will delete 3 backups")).to_be_visible()
    assert MainDatabase.objects.get(project=project).retention_days == 7
    person.press("Delete 3 backups and save")
    expect(person.page.get_by_text("Your backup settings are saved.")).to_be_visible()
    assert MainDatabase.objects.get(project=project).retention_days == 3


@pytest.mark.parametrize("way", WAYS)
def test_shutting_down_stops_the_charge(enter: Enter, scene: Scene, way: str) -> None:
    project = live_project(scene.owner, f"To be ended: {way}")
    person = hand(way, enter)
    enter_project(person, project)
    person.press("Shut down …", role="link")
    person.write("Project name", "Something else")
    person.press("Shut down")
    expect(person.page.get_by_text("That is not this project's name.")).to_be_visible()
    person.write("Project name", project.name)
    person.press("Shut down")
    shut_down = person.page.get_by_role("heading", name="This project is shut down")
    expect(shut_down).to_be_visible()
    project.refresh_from_db()
    assert project.state == Project.State.SHUT_DOWN
    assert not Charge.objects.filter(project_id=project.pk, kind="running", ends_at=None).exists()
    person.press("Start again")
    expect(person.page.get_by_text("is running again, and is charged again")).to_be_visible()


@pytest.mark.parametrize("width", [1280, PHONE["width"]])
def test_a_backup_appears_without_a_reload(enter: Enter, scene: Scene, width: int) -> None:
    project = live_project(scene.owner, f"Watched at {width} px")
    MainDatabase.objects.filter(project=project).update(next_snapshot_at=timezone.now())
    page = enter(scene.owner, viewport={**PHONE, "width": width}).new_page()
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
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.neverReloaded")
    assert page.evaluate("window.shift") < MIN_SHIFT, "\n".join(page.evaluate("window.shifted"))
    assert Snapshot.objects.get(project=project).state == "completed"


def test_a_page_that_stays_open_does_not_grow(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    page.clock.install()
    page.goto(scene.url("backups"), wait_until="networkidle")
    nodes = [page.evaluate(NODES)]
    for _ in range(4):
        with page.expect_response(lambda answer: "hx-request" in answer.request.headers) as refresh:
            page.clock.run_for(60_000)
        refresh.value.finished()
        page.wait_for_timeout(250)
        nodes.append(page.evaluate(NODES))
    # The first refresh may have less to show than the page began with; none may add nodes.
    assert nodes[0] >= nodes[1] == nodes[2] == nodes[3] == nodes[4]


def test_a_collaborator_is_refused_everywhere_and_a_stranger_finds_nothing(
    enter: Enter, scene: Scene
) -> None:
    collaborator, stranger = enter(scene.collaborator), enter(scene.stranger)
    closed = [name for name, row in TABLE.items() if row["collaborator"]["GET"] == 403]
    assert "backups" in closed
    for name in closed:
        assert collaborator.request.get(scene.url(name)).status == 403, name
        assert stranger.request.get(scene.url(name)).status == 404, name


@pytest.mark.parametrize("way", ["keyboard", "phone"])
def test_a_collaborator_finds_no_way_to_backups(enter: Enter, scene: Scene, way: str) -> None:
    person = hand(way, enter)
    sign_in(person, scene.collaborator.email)
    person.press(scene.project.name, role="link")
    expect(person.page).to_have_title(f"Overview · {scene.project.name} · Backups Portal")
    person.navigate("Main Database")
    expect(person.page.get_by_role("heading", name="Main Database", level=1)).to_be_visible()
    # The hidden sidebar of a phone has no link either.
    lines = person.page.get_by_role("link", name="Backups", exact=True, include_hidden=True)
    expect(lines).to_have_count(0)
    person.page.goto(scene.url("backups"))
    expect(person.page.get_by_text("Collaborators cannot access backup features.")).to_be_visible()


@pytest.mark.parametrize("way", WAYS)
def test_an_invitation_is_accepted_on_the_list_of_projects(
    enter: Enter, scene: Scene, way: str
) -> None:
    guest = factories.make_account(f"newcomer-{way.replace(' ', '-')}@example.com")
    owner = hand(way, enter)
    enter_project(owner, scene.project)
    owner.navigate("Members")
    owner.write("E-mail", guest.email)
    owner.press("Invite")
    invited = owner.page.locator("tr", has_text=guest.email)
    expect(invited.get_by_text("Pending")).to_be_visible()
    person = hand(way, enter)
    sign_in(person, guest.email)
    person.press("Accept the invitation to Cold Chain")
    expect(person.page.get_by_text("You are now a member of Cold Chain.")).to_be_visible()


@pytest.mark.parametrize("way", ["mouse", "phone"])
def test_a_backup_is_opened_like_a_book(enter: Enter, scene: Scene, way: str) -> None:
    """The owner goes from the list to a device's records, variables and chart without a restore."""
    person = hand(way, enter)
    page = person.page
    enter_project(person, scene.project)
    page.goto(scene.url("snapshot-devices"))
    person.press("Truck", role="link")
    person.choose("Variable", "temperature_1")
    person.press("Show")
    expect(page.get_by_role("row").filter(has_text="temperature_1")).to_have_count(10)
    person.press("Variables", role="link")
    person.press("Chart", role="link")
    person.tick("Compare with the database now")
    person.press("Draw")
    expect(page.get_by_text("In the database now")).to_be_visible()
    assert not page.get_by_role("link", name="Restore", exact=True).count()


def test_what_an_auditor_asks_for(enter: Enter, scene: Scene) -> None:
    """The owner sets objectives, adds a check, and hands over the quarter's evidence."""
    person = hand("mouse", enter)
    page = person.page
    enter_project(person, scene.project)
    person.navigate("Main Database")
    person.act(page.get_by_role("link", name=re.compile("objectives")).first)
    person.write("Data lost at most", "30")
    person.press("Save objectives")
    expect(page.get_by_text("at most 30 hours")).to_be_visible()
    person.navigate("Backups")
    person.press("Checks", role="link")
    page.get_by_label("Device", exact=True).first.fill("Truck")
    page.get_by_label("Hours", exact=True).first.fill("26")
    person.press("Add this check")
    expect(page.get_by_text("Truck has a record younger than 26 hours").first).to_be_visible()
    person.navigate("Evidence")
    expect(page.get_by_text("Recovery point: at most 30 hours")).to_be_visible()
    with page.expect_download() as saved:
        person.press("Signed JSON", role="link")
    assert read_evidence(saved.value.path().open("rb"), public_key()).document["title"]
