"""Screenshots of a running demo's pages: `python -m tests.screenshots`.

With `--readme` only the README's screenshots are made, in the README's folder.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.browser import chromium

SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
IMAGES = Path(__file__).parents[1] / ".github" / "images"
# The README's screenshots: the file, the page, the window, the theme.
README_PICTURES = (
    ("backups", "backups", (1280, 860), "light"),
    ("device", "device-chart", (1280, 860), "light"),
    ("restore", "restore", (1280, 860), "light"),
    ("result", "restored", (1280, 860), "dark"),
    ("phone", "backups", SIZES["phone"], "dark"),
)


def sign_in(page: Page, base: str, account: dict[str, str]) -> None:
    """Sign in through the form."""
    page.goto(f"{base}/")
    page.get_by_label("E-mail").fill(account["email"])
    page.get_by_label("Password").fill(account["password"])
    page.get_by_role("button", name="Sign in", exact=True).click()


def pages(page: Page, base: str, slug: str) -> Iterator[tuple[str, str]]:
    """Yield name and address of every page of a project that has backups."""
    project = f"{base}/projects/{slug}"
    yield "projects", f"{base}/"
    yield "project", f"{project}/"
    yield "main-database", f"{project}/main-database/"
    yield "objectives", f"{project}/objectives/"
    yield "backups", f"{project}/backups/"
    page.goto(f"{project}/backups/")
    for name, label in (
        ("restore", "New project from backup"),
        ("inside", "What is inside"),
        ("compare", "Compare"),
        ("download", "Download"),
    ):
        link = page.locator("a", has_text=label).first.get_attribute("href")
        yield name, f"{base}{link}"
        if name == "inside":
            for tab in ("devices", "resources", "left-out", "restores"):
                yield f"inside-{tab}", f"{base}{link}{tab}/"
            yield from device_pages(page, f"{base}{link}")
            page.goto(f"{project}/backups/")
    yield "checks", f"{project}/backups/checks/"
    yield "find", f"{project}/backups/find/?device=Truck+01"
    yield "transfers", f"{project}/transfers/"
    yield "data", f"{project}/data/"
    yield "ids", f"{project}/ids/"
    for name in ("members", "evidence", "activity", "notifications", "charges", "api", "shut-down"):
        yield name, f"{project}/{name}/"
    yield "reference", f"{project}/api/reference/"
    yield "portal-api", f"{base}/api/v1/docs"
    yield from restored_pages(page, base)


def device_pages(page: Page, backup: str) -> Iterator[tuple[str, str]]:
    """Yield the pages of a device inside a backup."""
    page.goto(f"{backup}devices/?q=Truck+07")
    found = page.get_by_role("link", name="Truck 07").first.get_attribute("href") or ""
    device = f"{backup}devices/{found.partition('/devices/')[2]}"
    yield "device", device
    yield "device-variables", f"{device}variables/"
    yield "device-chart", f"{device}chart/?variable=temperature"


def restored_pages(page: Page, base: str) -> Iterator[tuple[str, str]]:
    """Yield the pages of the story's restore, and of the project that it made."""
    page.goto(f"{base}/projects/cold-chain/backups/")
    inside = page.locator("a", has_text="What is inside").first.get_attribute("href")
    page.goto(f"{base}{inside}restores/")
    restore = page.locator("a[href^='/restores/']").first.get_attribute("href")
    yield "restored", f"{base}{restore}"
    yield "tokens", f"{base}/projects/cold-chain-restored/tokens/"
    yield "restored-project", f"{base}/projects/cold-chain-restored/"


def take(browser: Browser, demo: dict[str, Any], folder: Path) -> None:
    """Take every page in both sizes and both themes."""
    for size, (width, height) in SIZES.items():
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            sign_in(page, demo["base_url"], demo["accounts"][0])
            slug = next(p["slug"] for p in demo["projects"] if p["name"] == "Cold Chain")
            for name, address in list(pages(page, demo["base_url"], slug)):
                # Lists of a project's own database load after the page.
                page.goto(address, wait_until="networkidle")
                page.screenshot(path=folder / f"{name}-{size}-{theme}.png", full_page=True)
            page.close()


def take_for_readme(browser: Browser, demo: dict[str, Any]) -> None:
    """Take the README's pages as the window first shows them."""
    for file, wanted, (width, height), theme in README_PICTURES:
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=1.5
        )
        sign_in(page, demo["base_url"], demo["accounts"][0])
        slug = next(p["slug"] for p in demo["projects"] if p["name"] == "Cold Chain")
        addresses = dict(pages(page, demo["base_url"], slug))
        page.goto(addresses[wanted])
        page.screenshot(path=IMAGES / f"{file}.png")
        page.close()


def main() -> None:
    """Parse the options, and take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("demo", type=Path, nargs="?", default=Path("var/demo.json"), help="the demo's demo.json")
    add("folder", type=Path, nargs="?", default=Path("var/screenshots"))
    add("--readme", action="store_true")
    options = parser.parse_args()
    demo = json.loads(options.demo.read_text())
    options.folder.mkdir(parents=True, exist_ok=True)
    path = chromium.executable()
    if path is None:
        parser.error(chromium.MISSING)
    with chromium.launched(path) as browser:
        if options.readme:
            take_for_readme(browser, demo)
        else:
            take(browser, demo, options.folder)


if __name__ == "__main__":
    main()
