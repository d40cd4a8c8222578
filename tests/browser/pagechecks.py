"""Checks of a page: axe's findings, contrast, names of tables, and overflow."""

import os
import re
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# The WCAG levels that the pages promise, and axe's best practices.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The theme changes colours only, so only these are checked again.
EVERYTHING = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
# A large screen, tablets in landscape and portrait, a small phone.
WIDTHS = (1920, 1024, 768, 360)
AXE = Axe()
# This variable names a folder for screenshots of every judged page; without it none are taken.
PICTURES = "SCREENSHOTS"
PICTURE_WIDTHS = (1280, 390)


def problems(page: Page, options: dict[str, Any]) -> list[str]:
    """Return axe's findings on a page that has loaded it: the rule, and the elements."""
    # Return only these from the browser: transferring axe's full result takes longer than its run.
    command = """async (options) => (await axe.run(options)).violations.flatMap(({ id, nodes }) =>
        nodes.map((node) => `${id}: ${node.html.slice(0, 160)} (${node.failureSummary})`))"""
    return list(page.evaluate(command, options))


def misfits(page: Page) -> list[str]:
    """Return what overflows: the page, its cards or the cells of its tables."""
    return list(
        page.evaluate(
            """() => {
                const { scrollWidth, clientWidth } = document.documentElement;
                const beyond = scrollWidth - clientWidth;
                return [
                    ...(beyond > 0 ? [`the page scrolls sideways by ${beyond} px`] : []),
                    ...[...document.querySelectorAll("td, th, .card, .stat")]
                        .filter((cell) => cell.scrollWidth > cell.clientWidth + 1
                            && (cell.closest("thead") ?? cell).clientHeight > 1)
                        .map((cell) => cell.outerHTML.slice(0, 160)),
                ];
            }"""
        )
    )


def unnamed(page: Page) -> list[str]:
    """Return tables without a name, and those with a row that lacks a row header."""
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll("table")]
                .filter((table) =>
                    !(table.caption ?? table.ariaLabel ?? table.getAttribute("aria-labelledby"))
                    || [...table.tBodies].some((body) => [...body.rows].some((row) =>
                        !row.querySelector("th[scope=row], th[scope=rowgroup]"))))
                .map((table) => table.outerHTML.slice(0, 160))"""
        )
    )


# Colour contrast as in WCAG 2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const painted = (...colours) => {
    for (const colour of ["white", ...colours]) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement)
      layers.unshift(getComputedStyle(at).backgroundColor);
    return layers;
  };
  const faint = [];
  for (const field of document.querySelectorAll("input, select, textarea")) {
    if (field.type === "hidden" || field.disabled || !field.checkVisibility()) continue;
    const around = behind(field.parentElement), style = getComputedStyle(field);
    const edge = contrast(painted(...around, style.borderTopColor), painted(...around));
    if (edge < 3) faint.push(`edge ${edge.toFixed(2)}: ${field.outerHTML.slice(0, 160)}`);
    if (!field.placeholder) continue;
    const within = behind(field), hint = getComputedStyle(field, "::placeholder");
    const text = contrast(painted(...within, hint.color), painted(...within));
    if (text < 4.5 || hint.opacity !== "1")
      faint.push(`placeholder ${text.toFixed(2)}: ${field.outerHTML.slice(0, 160)}`);
  }
  return faint;
}"""


def judge(page: Page) -> None:
    """Assert that axe finds nothing in both themes, and that the page fits every width."""
    assert unnamed(page) == []
    page.evaluate(AXE.axe_script)
    assert problems(page, EVERYTHING) == []
    assert page.evaluate(FAINT) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-bs-theme=dark]")
    assert problems(page, COLOURS) == []
    assert page.evaluate(FAINT) == []
    assert_fits(page)
    photograph(page)


def assert_fits(page: Page) -> None:
    """Assert that nothing scrolls sideways, leaves its card or runs into the next column."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 860})
        found = misfits(page)
        assert not found, f"at {width} px: {found}"


def photograph(page: Page) -> None:
    """Take screenshots in both widths and both themes, if requested."""
    if not (folder := os.environ.get(PICTURES)):
        return
    test = re.sub(r".*\[|\]? \(\w+\)$|.*::", "", os.environ["PYTEST_CURRENT_TEST"])
    name = re.sub(r"\W+", "-", test)
    for width in PICTURE_WIDTHS:
        page.set_viewport_size({"width": width, "height": 860})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=Path(folder, f"{name}-{width}-{theme}.png"), full_page=True)
