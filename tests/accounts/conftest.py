"""Fixtures shared by the tests of accounts."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from backups_portal.accounts import tasks
from backups_portal.accounts.password_reset import send_link
from tests.accounts.provider import Provider, name_provider, running_provider


@pytest.fixture
def letters(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Send messages at once instead of by a worker; return the requested addresses."""
    settings.EMAIL_HOST = "mail.example.com"
    settings.PORTAL_URL = "https://portal.example.com"
    wanted: list[str] = []

    def at_once(email: str) -> None:
        wanted.append(email)
        send_link(email)

    monkeypatch.setattr(tasks.send_reset_link, "delay", at_once)
    monkeypatch.setattr(tasks.send_notice, "delay", tasks.send_notice)
    return wanted


@pytest.fixture
def provider(settings: Settings) -> Iterator[Provider]:
    with running_provider() as running:
        running.knows("42", email="olivia@example.com", email_verified=True, name="Olivia Owner")
        name_provider(settings, running.url)
        yield running
