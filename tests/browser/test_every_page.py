"""What holds for every page: readable by all, in both themes and all widths, and from one host."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.template.loader import render_to_string
from playwright.sync_api import Page

from backups_portal.accounts.models import Account
from tests.access.table import TABLE
from tests.browser.conftest import Enter, Portal
from tests.browser.scene import Scene

# Answers of these are no pages: for programs, for a page's own refresh, or to be saved.
NO_PAGES = {
    *("healthz", "readyz"),
    *("restore-status", "transfer-status"),
    *("activity-csv", "charges-csv"),
    *("data-export", "tokens-csv", "ids-variables", "transfer-report-json", "transfer-report-csv"),
}
OWNED = {
    name
    for name, row in TABLE.items()
    if row["owner"]["GET"] in (200, 503) and name not in NO_PAGES
}
ERRORS = ("400", "403", "403_csrf", "404", "413", "500")
# The WCAG levels that the pages promise, and what axe calls good practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The theme changes colours only, so that only these need a second look.
EVERYTHING = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
NARROW, WIDE = 360, 1920
# What is reported as 0.00. On a busy machine a page may be painted before its last button is read.
LEAST_SHIFT = 0.005
FIRST_VISIT_BYTES = 150_000
AXE = Axe()


@pytest.fixture(scope="module")
def scene(portal: Portal) -> Scene:
    return Scene()


def problems(page: Page, options: dict[str, Any]) -> list[str]:
    """What axe finds on a page that has it: the rule, and the elements."""
    # Only this leaves the browser: all that axe knows of a page takes longer than to find it.
    command = """async (options) => (await axe.run(options)).violations.flatMap(({ id, nodes }) =>
        nodes.map((node) => `${id}: ${node.html.slice(0, 160)} (${node.failureSummary})`))"""
    return list(page.evaluate(command, options))


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(
        page.evaluate(
            """() => { const { scrollWidth, clientWidth } = document.documentElement;
                return Math.max(scrollWidth - clientWidth, 0); }"""
        )
    )


def assert_still(page: Page, address: str, looks: int = 3) -> None:
    """Nothing moved while it was loaded; what a busy machine did once, it does not do each time."""
    for _ in range(looks - 1):
        if page.evaluate("window.shift") < LEAST_SHIFT:
            return
        page.goto(address, wait_until="load")
    assert page.evaluate("window.shift") < LEAST_SHIFT, page.evaluate("window.shifted")


def inspect(page: Page, portal: Portal, address: str, status: int = 200) -> None:
    """Load a page once, and look at it in both themes and at both ends of the widths."""
    asked, broken = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: broken.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: broken.append(str(error)))
    response = page.goto(address)
    assert response is not None
    assert response.status == status
    assert page.title().endswith(" · Backups Portal")
    assert [url for url in asked if not url.startswith(f"{portal.url}/")] == []
    # Chromium itself reports the status of a page that explains an error.
    assert [text for text in broken if "Failed to load resource" not in text] == []
    assert_still(page, address)
    page.evaluate(AXE.axe_script)
    assert problems(page, EVERYTHING) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-bs-theme=dark]")
    assert problems(page, COLOURS) == []
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 860})
        assert overflow(page) == 0, f"scrolls sideways at {width} px"


def look(enter: Enter, portal: Portal, account: Account | None, address: str) -> None:
    """The page at an address, for an account."""
    context = enter(account)
    inspect(context.new_page(), portal, address)


@pytest.mark.parametrize("name", sorted(OWNED - {"sign-in"}))
def test_page_of_the_table(enter: Enter, portal: Portal, scene: Scene, name: str) -> None:
    look(enter, portal, scene.owner, scene.url(name))


STATES = 11


def states(scene: Scene) -> Iterator[tuple[str, Account | None, str]]:
    """Pages in the states that the table does not show."""
    yield "sign-in", None, scene.url("sign-in")
    yield "no projects", scene.stranger, scene.url("projects")
    yield "collaborator's project", scene.collaborator, scene.url("project")
    yield "collaborator's database", scene.collaborator, scene.url("main-database")
    empty = scene.empty.slug
    yield "no backups", scene.owner, scene.url("backups", slug=empty)
    yield "no charges", scene.owner, scene.url("charges", slug=empty)
    yield "no transfers", scene.owner, scene.url("transfers", slug=empty)
    for state in ("failed", "running", "queued"):
        restore = scene.restores[state].pk
        yield f"restore {state}", scene.owner, scene.url("restore", restore=restore)
    found = f"{scene.url('backups-find')}?device=Truck&day=2026-03-01"
    yield "lost rows found", scene.owner, found


@pytest.mark.parametrize("number", range(STATES))
def test_page_in_another_state(enter: Enter, portal: Portal, scene: Scene, number: int) -> None:
    _, account, address = list(states(scene))[number]
    look(enter, portal, account, address)


@pytest.mark.parametrize("name", ERRORS)
def test_error_page(enter: Enter, portal: Portal, name: str) -> None:
    page = enter().new_page()
    status, body = int(name[:3]), render_to_string(f"{name}.html", {"status": name, "megabytes": 1})
    page.route(
        f"{portal.url}/broken/",
        lambda route: route.fulfill(status=status, content_type="text/html", body=body),
    )
    inspect(page, portal, "/broken/", status)


def test_first_visit_is_light_and_kept(enter: Enter, portal: Portal) -> None:
    page = enter().new_page()
    answers: dict[str, dict[str, Any]] = {}
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.responseReceived", lambda e: answers.setdefault(e["requestId"], e))
    network.on("Network.loadingFinished", lambda e: answers[e["requestId"]].update(e))
    page.goto("/sign-in/", wait_until="networkidle")
    assert sum(answer["encodedDataLength"] for answer in answers.values()) <= FIRST_VISIT_BYTES
    static = [a["response"] for a in answers.values() if "/static/" in a["response"]["url"]]
    assert len(static) >= 5
    for response in static:
        headers = {name.lower(): value for name, value in response["headers"].items()}
        assert "immutable" in headers["cache-control"]
        assert headers["content-encoding"] in ("gzip", "br")
