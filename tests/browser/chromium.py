"""The browser of tests and screenshots: the system's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

# The headless shell takes a quarter to a half less processor time: the others maintain a window
# with its bar and menus for each page.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Text in shades of grey: coloured edges take a tenth of the processor, and no test sees them.
    "--disable-lcd-text",
)
MISSING = "Chromium is missing: run `apt-get install chromium-headless-shell`"


def executable() -> str | None:
    """Return Chromium's path, or None if it is not installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def require() -> str:
    """Return Chromium's path; without it skip the test, but fail in CI, which installs it."""
    path = executable()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return path


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    """Start a headless browser, and close it at the end of the context."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
