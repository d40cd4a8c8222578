"""A deployed portal and a browser: one of each for all tests of this folder.

gunicorn serves collected, compressed static files under hashed names, on the test database; rows
stay for the tests of a module.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client, override_settings
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext
from pytest_django import DjangoDbBlocker

from backups_portal.accounts.models import Account
from backups_portal.lib import liveness
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import server_url
from backups_portal.projects.models import Project
from tests.browser import chromium
from tests.conftest import database_of_this_test
from tests.contract.server import running
from tests.factories import NOWHERE, PASSWORD

# Records the layout shifts of a page.
SHIFTS = """window.shifted = [];
window.shift = 0;
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries()) {
    window.shift += value;
    for (const { node, previousRect, currentRect } of sources)
      window.shifted.push(`${value} ${(node?.outerHTML ?? node?.textContent ?? "").slice(0, 120)}`
        + ` from ${JSON.stringify(previousRect)} to ${JSON.stringify(currentRect)}`);
  }
}).observe({ type: "layout-shift", buffered: true });"""
# Chromium reports less as 0.00. On a busy machine a page may be painted before its last button is
# read.
MIN_SHIFT = 0.005


@dataclass(frozen=True)
class Portal:
    """A running portal; `storage` holds the snapshots of it and the tests' workers."""

    url: str
    storage: str
    folder: Path


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. Playwright's loop in this thread must not block Django's database access."""
    path = chromium.require()
    with pytest.MonkeyPatch.context() as patch, chromium.launched(path) as browser:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield browser


@pytest.fixture(scope="package")
def server(
    browser: Browser,
    django_db_setup: None,
    static_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Portal]:
    """A portal that answers; starting it takes as long as a dozen of its pages."""
    folder = tmp_path_factory.mktemp("portal")
    storage = f"file://{folder / 'snapshots'}"
    environment = {
        "SNAPSHOT_STORAGE": storage,
        "STATIC_ROOT": str(static_root),
        **database_of_this_test(),
    }
    with running("tests.browser.quick_portal", environment, folder / "portal.log") as url:
        yield Portal(url, storage, folder)


@pytest.fixture(scope="module")
def portal(server: Portal, django_db_blocker: DjangoDbBlocker) -> Iterator[Portal]:
    """The portal without other modules' rows; its projects' databases are dropped afterwards."""
    with django_db_blocker.unblock(), override_settings(SNAPSHOT_STORAGE=server.storage):
        _note_processes()
        yield server
        drop_databases()
        call_command("flush", interactive=False, verbosity=0)
        # Playwright's loop gives this module its own connection.
        connections.close_all()


def _note_processes() -> None:
    """Record fresh signs of life of all processes; stopped ones of other tests leave stale ones."""
    tomorrow = timezone.now() + timedelta(days=1)
    with patch.object(liveness.timezone, "now", return_value=tomorrow):
        for sign in (*liveness.PROCESSES, liveness.SCHEDULE):
            liveness.note(sign)


def drop_databases() -> None:
    """Drop the databases of real projects."""
    for project in Project.objects.select_related("server"):
        if (url := server_url(project.server)) != NOWHERE:
            drop_database(url, prefix=project.prefix)


@pytest.fixture
def transactional_db() -> None:
    """Replace pytest-django's fixture: rows stay for the tests of a module, see `portal`.

    pytest-django recognises by this name that these tests need the database.
    """


# Opens an account's browser session, with Playwright's options of `new_context`.
Enter = Callable[..., BrowserContext]


@pytest.fixture
def enter(transactional_db: None, portal: Portal, browser: Browser) -> Iterator[Enter]:
    """Open accounts' sessions, signed in without the form; they end with the test."""
    contexts = []

    def opened(account: Account | None = None, **options: Any) -> BrowserContext:
        contexts.append(open_context(browser, portal, account, **options))
        return contexts[-1]

    yield opened
    for context in contexts:
        context.close()


def open_context(
    browser: Browser, portal: Portal, account: Account | None, **options: Any
) -> BrowserContext:
    """Open a session, signed in or anonymous; the caller closes it."""
    context = browser.new_context(
        **{
            "base_url": portal.url,
            "viewport": {"width": 1280, "height": 860},
            # Contrast cannot be judged in the middle of a colour transition.
            "reduced_motion": "reduce",
            **options,
        }
    )
    context.add_init_script(SHIFTS)
    if account:
        context.add_cookies(
            [{"name": "sessionid", "value": session_of(account), "url": portal.url}]
        )
    return context


def session_of(account: Account) -> str:
    """Return the key of a new session."""
    client = Client()
    # Reload the account: a sign-in by the form replaces its quick hash with a deployed one.
    client.force_login(Account.objects.get(pk=account.pk))
    # Pages that change sign-in methods require a recent password.
    client.post("/account/password-again/", {"password": PASSWORD})
    return client.cookies["sessionid"].value
