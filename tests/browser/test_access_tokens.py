"""A token created in a browser works in a script."""

import json
import re
import urllib.request

from playwright.sync_api import Page, expect

from tests import factories
from tests.browser.conftest import Enter, Portal
from tests.browser.pagechecks import AXE, EVERYTHING, problems
from tests.browser.test_every_page import Window


def test_a_token_is_made_used_and_revoked(enter: Enter, portal: Portal) -> None:
    owner = factories.make_account()
    project = factories.make_project_row(owner=owner, name="Cold Chain")
    page = enter(owner).new_page()
    page.goto("/account/")
    page.get_by_role("link", name="API tokens").click()
    page.get_by_role("link", name="New token").first.click()
    page.get_by_label("Name").fill("weekly drill")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_text("Choose at least one thing")).to_be_visible()
    assert_readable(page)
    page.get_by_label("projects:read").check()
    page.get_by_role("button", name="Create token").click()
    value = page.locator("#new-token").inner_text()
    assert re.fullmatch(r"bp_[0-9a-f]{40}", value)
    assert_readable(page)
    assert [one["name"] for one in asked(portal, value)] == [project.name]
    page.get_by_role("link", name="I've saved it").click()
    expect(page.get_by_role("row", name="weekly drill")).to_contain_text(f"…{value[-4:]}")
    assert value not in page.content()
    page.get_by_label("Revoke weekly drill …").click()
    expect(page.get_by_text("This cannot be undone.")).to_be_visible()
    page.get_by_role("button", name="Revoke weekly drill").click()
    expect(page.get_by_text("“weekly drill” is revoked")).to_be_visible()
    expect(page.get_by_text("No tokens yet")).to_be_visible()


def test_the_page_without_tokens(enter: Enter, portal: Portal) -> None:
    Window(enter(factories.make_account()).new_page()).inspect(portal, "/account/tokens/")


def test_the_reference_needs_no_account(enter: Enter, portal: Portal) -> None:
    Window(enter().new_page()).inspect(portal, "/api/v1/docs")


def assert_readable(page: Page) -> None:
    page.evaluate(AXE.axe_script)
    assert problems(page, EVERYTHING) == []


def asked(portal: Portal, token: str) -> list[dict[str, str]]:
    """Return the projects that a script gets without a browser."""
    request = urllib.request.Request(  # noqa: S310 - the portal of this test
        f"{portal.url}/api/v1/projects", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the same
        return list(json.load(response)["items"])
