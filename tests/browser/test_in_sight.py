"""What a user has just asked for is in view, in low windows and on phones too."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, ViewportSize, expect

from backups_portal.projects.models import DatabaseServer, MainDatabase
from snapshots.models import Hold, Snapshot
from snapshots.reports.day_strip import STORED, Cell
from tests import factories
from tests.browser.conftest import Enter, Portal
from tests.browser.hands import PHONE
from tests.browser.pagechecks import AXE, EVERYTHING, assert_fits, problems
from tests.browser.scene import Scene

LOW: ViewportSize = {"width": 1366, "height": 768}
TALL: ViewportSize = {"width": PHONE["width"], "height": PHONE["height"]}
WINDOWS = pytest.mark.parametrize("window", [LOW, TALL], ids=["1366x768", "390x844"])


# This many backups are visible without scrolling: rows of 52 px, and cards on a phone.
ROWS_IN_SIGHT = {LOW["width"]: 8, TALL["width"]: 2}


@pytest.fixture(scope="module")
def scene(portal: Portal) -> Scene:
    return Scene()


def fleet(scene: Scene, name: str, days: int) -> str:
    """Make a Backups page with this many backups, the newest proven, an older one held."""
    now = timezone.now()
    project = factories.make_project_row(owner=scene.owner, name=name)
    MainDatabase.objects.filter(project=project).update(
        retention_days=days, next_snapshot_at=now + timedelta(hours=9)
    )
    rows = [
        Snapshot(
            project=project,
            state="completed",
            local_date=(now - timedelta(days=ago)).date(),
            scheduled_for=now - timedelta(days=ago),
            taken_at=now - timedelta(days=ago),
            manifest="manifests/one.json",
            rows=12_270,
            is_full=False,
            stored_bytes=2_000_000 - ago * 1000,
            new_bytes=213_000,
            verdict="unproven" if ago else "passed",
            proven_at=None if ago else now,
            restore_seconds=None if ago else 8.0,
        )
        for ago in range(days)
    ]
    Hold.objects.create(snapshot=Snapshot.objects.bulk_create(rows)[3], account=scene.owner)
    return f"/projects/{project.slug}/backups/"


def assert_in_sight(page: Page, thing: Locator) -> None:
    """Assert that it is entirely visible between the bar and the lower edge, and not covered."""
    expect(thing).to_be_visible()
    page.wait_for_timeout(100)
    box, bar = thing.bounding_box(), page.locator(".topbar").bounding_box()
    size = page.viewport_size
    assert box is not None
    assert bar is not None
    assert size is not None
    assert box["y"] >= bar["y"] + bar["height"], (box, bar)
    assert box["y"] + box["height"] <= size["height"], (box, size)
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size["width"]
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert thing.evaluate(
        "(thing, [x, y]) => thing.contains(document.elementFromPoint(x, y))", middle
    )


@WINDOWS
def test_every_menu_of_the_list_opens_within_the_window(
    enter: Enter, scene: Scene, window: ViewportSize
) -> None:
    page = enter(scene.owner, viewport=window).new_page()
    page.goto(scene.url("backups"))
    menus = page.locator("tr details.menu")
    assert menus.count() >= 4
    for number in range(menus.count()):
        menu = menus.nth(number)
        # Scroll as low as the page allows, because menus used to leave the window there.
        menu.evaluate("menu => menu.scrollIntoView({ block: 'end' })")
        menu.locator("summary").click()
        assert_in_sight(page, menu.locator(".menu-panel"))
        if number % 2:
            page.keyboard.press("Escape")
        else:
            page.locator("h1").dispatch_event("click")
        expect(menu.locator(".menu-panel")).to_be_hidden()


@WINDOWS
def test_the_list_is_in_sight_at_once(enter: Enter, scene: Scene, window: ViewportSize) -> None:
    page = enter(scene.owner, viewport=window).new_page()
    page.goto(fleet(scene, f"Fleet at {window['width']} px", 14))
    rows = page.locator("table.backups tbody tr")
    for number in range(ROWS_IN_SIGHT[window["width"]]):
        assert_in_sight(page, rows.nth(number))
        restore = rows.nth(number).get_by_role("link", name="Restore the backup of")
        assert_in_sight(page, restore)
    assert_in_sight(page, page.locator(".band"))
    assert page.evaluate("scrollY") == 0
    heights = rows.evaluate_all("rows => rows.map((row) => row.offsetHeight)")
    assert max(heights) - min(heights) <= 24
    if window is LOW:
        assert max(heights) <= 54
    expect(rows.nth(3)).to_contain_text("On hold")
    last = rows.last.bounding_box()
    overview = page.locator("#overview").bounding_box()
    assert last
    assert overview
    assert overview["y"] > last["y"] + last["height"]


def test_days_and_sizes_tell_their_values(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner, viewport=LOW).new_page()
    page.goto(fleet(scene, "Fleet of a year", 365))
    expect(page.locator(".month-name")).to_have_count(len(months_of_a_year()))
    days, sizes = page.locator(".months"), page.locator("svg.chart-plot")
    # Each is one tab stop; arrow keys move by days and weeks.
    today = timezone.now().date()
    days.locator("[tabindex='0']").focus()
    for key, ago in (("ArrowLeft", 1), ("ArrowUp", 8), ("ArrowRight", 7)):
        page.keyboard.press(key)
        cell = Cell(today - timedelta(days=ago), STORED)
        expect(days.get_by_label(cell.label, exact=True)).to_be_focused()
    assert days.locator("[tabindex='0']").count() == 1
    expect(sizes.locator(".chart-said:visible")).to_have_count(0)
    sizes.locator(".chart-value").first.hover()
    expect(sizes.locator(".chart-said:visible")).to_have_text(re.compile(r"1\.6\sMiB$"))
    sizes.locator("[tabindex='0']").focus()
    page.mouse.move(0, 0)
    expect(sizes.locator(".chart-said:visible")).to_have_text(re.compile(r"1\.9\sMiB$"))
    days.locator("a").nth(200).click()
    expect(page.locator("tr.is-sought")).to_have_count(1)
    assert_in_sight(page, page.locator("tr.is-sought .row-title"))
    page.evaluate(AXE.axe_script)
    assert problems(page, EVERYTHING) == []
    assert_fits(page)


def months_of_a_year() -> set[str]:
    """Return the months that contain the last 365 days."""
    today = timezone.now().date()
    return {f"{today - timedelta(days=ago):%Y-%m}" for ago in range(365)}


def test_a_menu_closes_behind_the_keyboard(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner, viewport=LOW).new_page()
    page.goto(scene.url("backups"))
    menu = page.locator("tr details.menu").first
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    for _ in range(menu.locator("a, button").count()):
        page.keyboard.press("Tab")
        expect(menu.locator(".menu-panel")).to_be_visible()
    page.keyboard.press("Tab")
    expect(menu.locator(".menu-panel")).to_be_hidden()
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    expect(menu.locator(".menu-panel")).to_be_hidden()


@WINDOWS
def test_what_was_done_to_a_backup_is_said_in_sight(
    enter: Enter, scene: Scene, window: ViewportSize
) -> None:
    page = enter(scene.owner, viewport=window).new_page()
    page.goto(scene.url("backups"))
    for button, said in (
        ("Hold", "is on hold until you release it"),
        ("Release", "is released"),
    ):
        menu = page.locator("tr details.menu").last
        menu.locator("summary").click()
        menu.get_by_role("button", name=button, exact=True).click()
        assert_in_sight(page, page.get_by_text(said))
        assert_in_sight(page, page.locator("tr:target .row-title"))


def test_a_lasting_warning_scrolls_away(enter: Enter, scene: Scene) -> None:
    server = DatabaseServer.objects.filter(pk=scene.project.server_id)
    server.update(checked_at=timezone.now(), unreachable_since=timezone.now())
    try:
        page = enter(scene.owner, viewport=TALL).new_page()
        page.goto(scene.url("main-database"))
        warning = page.get_by_text("database server is not responding")
        expect(warning).to_be_in_viewport()
        page.evaluate("scrollTo(0, 900)")
        expect(warning).not_to_be_in_viewport()
    finally:
        server.update(unreachable_since=None)


@WINDOWS
def test_a_restore_is_offered_on_the_first_screen_of_a_backup(
    enter: Enter, scene: Scene, window: ViewportSize
) -> None:
    page = enter(scene.owner, viewport=window).new_page()
    for tab in (
        *("snapshot", "snapshot-devices", "snapshot-resources", "snapshot-excluded"),
        "snapshot-restores",
    ):
        page.goto(scene.url(tab))
        assert_in_sight(page, page.get_by_role("link", name="Restore", exact=True))


@WINDOWS
def test_a_revealed_token_is_not_under_the_bar(
    enter: Enter, scene: Scene, window: ViewportSize
) -> None:
    page = enter(scene.owner, viewport=window).new_page()
    page.goto(scene.url("tokens"))
    page.get_by_role("button", name="Reveal").first.click()
    assert_in_sight(page, page.locator("#revealed-title"))
    expect(page.locator("#revealed")).to_be_focused()


def test_a_refused_code_leaves_its_field(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    page.goto(scene.url("mfa_activate_totp"))
    page.get_by_label("Code from your app").fill("123456")
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_text("That code is wrong").first).to_be_visible()
    expect(page.get_by_label("Code from your app")).to_have_value("")


def test_a_summary_of_errors_keeps_its_distance(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    page.goto(scene.url("backups-find") + "?device=a&day=x")
    summary, below = (page.locator(place).bounding_box() for place in (".note", ".note + .live"))
    assert summary
    assert below
    assert below["y"] - summary["y"] - summary["height"] >= 16
