"""Ticks, states and the current page stay visible in contrast themes."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Enter, Portal
from tests.browser.scene import Scene


@pytest.fixture(scope="module")
def scene(portal: Portal) -> Scene:
    return Scene()


@pytest.fixture
def page(enter: Enter, scene: Scene) -> Page:
    return enter(scene.owner, forced_colors="active").new_page()


def test_a_ticked_box_looks_ticked(page: Page, scene: Scene) -> None:
    page.goto(scene.url("notifications"))
    box = page.locator("input[name=wanted]").first
    looks = []
    for is_ticked in (True, False):
        box.evaluate("(box, is_ticked) => { box.checked = is_ticked; box.blur() }", is_ticked)
        looks.append(box.screenshot())
    assert looks[0] != looks[1]


def test_the_current_page_is_marked(page: Page, scene: Scene) -> None:
    page.goto(scene.url("tokens"))
    borders = """thing => {
        const { borderLeft, borderBottom } = getComputedStyle(thing);
        return [borderLeft, borderBottom];
    }"""
    for place in (".nav-list", ".tabs"):
        here = page.locator(f"{place} [aria-current]").first.evaluate(borders)
        assert here != page.locator(f"{place} a:not([aria-current])").first.evaluate(borders), place


def test_days_show_what_became_of_their_backups(page: Page, scene: Scene) -> None:
    page.goto(scene.url("backups"))
    colour = "day => getComputedStyle(day).backgroundColor"
    kinds = ("proven", "stored", "failed")
    assert len({page.locator(f".day.day-{kind}").first.evaluate(colour) for kind in kinds}) == 3


def test_notes_are_as_dark_as_text_if_more_contrast_is_preferred(
    enter: Enter, scene: Scene
) -> None:
    page = enter(scene.owner, contrast="more").new_page()
    page.goto(scene.url("backups"))
    note, text = page.locator(".page-lead"), page.locator("h1")
    colour = "thing => getComputedStyle(thing).color"
    assert note.evaluate(colour) == text.evaluate(colour)
