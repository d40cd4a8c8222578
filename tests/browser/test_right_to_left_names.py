"""A right-to-left name does not reorder the words next to it."""

from datetime import UTC, datetime

from playwright.sync_api import Locator

from tests import factories
from tests.browser.conftest import Enter

COLD_STORE = "برد"
# Returns the left edge of a text within the element, in pixels.
LEFT = """(element, text) => {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const start = node.data.indexOf(text);
    if (start < 0) continue;
    const range = document.createRange();
    range.setStart(node, start);
    range.setEnd(node, start + text.length);
    return range.getBoundingClientRect().left;
  }
}"""


def assert_in_order(line: Locator, *texts: str) -> None:
    """Assert that the texts of a line appear from left to right."""
    lefts = [line.evaluate(LEFT, text) for text in texts]
    assert lefts == sorted(lefts)


def test_a_transfer_points_into_its_target(enter: Enter) -> None:
    owner = factories.make_account()
    source = factories.make_project_row(owner=owner, name=COLD_STORE)
    target = factories.make_project_row(owner=owner, name="قمح")
    factories.make_transfer(
        source, target, requested_by=owner, state="failed", reason="It did not answer."
    )
    page = enter(owner).new_page()
    page.goto(f"/projects/{source.slug}/transfers/")
    link = page.locator("th a.row-name")
    assert_in_order(link, source.name, target.name)
    link.click()
    assert_in_order(page.locator("h1"), source.name, target.name)


def test_evidence_names_the_project_before_its_days(enter: Enter) -> None:
    owner = factories.make_account()
    project = factories.make_project_row(owner=owner, name=COLD_STORE)
    factories.make_snapshot(project, taken_at=datetime(2026, 10, 3, tzinfo=UTC))
    page = enter(owner, viewport={"width": 1920, "height": 860}).new_page()
    page.goto(f"/projects/{project.slug}/evidence/?from=2026-10-02&to=2026-10-05")
    assert_in_order(page.locator("h1"), "evidence", COLD_STORE, "2 Oct")
