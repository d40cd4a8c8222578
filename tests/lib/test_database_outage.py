"""A database whose disk is full is told as one that is away: what is sent later may be taken."""

import psycopg
import pytest
from django.db import OperationalError
from django.test import Client

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.database_outage import outage_in_words


def full_disk() -> OperationalError:
    """What Django makes of it."""
    error = OperationalError("could not extend file")
    error.__cause__ = psycopg.errors.DiskFull("could not extend file: No space left on device")
    return error


@pytest.mark.django_db
def test_a_form_that_cannot_be_stored_may_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise full_disk()

    monkeypatch.setattr(AuditEvent.objects, "create", fail)
    visitor = Client(raise_request_exception=False)
    answer = visitor.post("/sign-in/", {"username": "ada@example.com", "password": "wrong"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_a_command_does_not_call_it_away() -> None:
    said = outage_in_words(full_disk())
    assert said == "The portal's database has refused: could not extend file."
