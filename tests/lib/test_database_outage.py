"""A database whose disk is full is told as one that is away: what is sent later may be taken."""

import json

import psycopg
import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from psycopg import errors

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.database_outage import is_outage, outage_in_words
from backups_portal.portal_api.view_wrapper import server_error
from backups_portal.tagoio_api.api import stopped
from backups_portal.tagoio_api.envelope import outage

SHORTAGES = [
    (errors.DiskFull, "cannot store anything right now"),
    (errors.OutOfMemory, "has too little memory right now"),
    (errors.TooManyConnections, "takes no more connections right now"),
]


def as_django(cause: psycopg.Error) -> OperationalError:
    """What Django makes of it."""
    error = OperationalError("could not extend file")
    error.__cause__ = cause
    return error


def full_disk() -> OperationalError:
    return as_django(errors.DiskFull("could not extend file: No space left on device"))


def page(path: str, error: Exception) -> HttpResponse:
    """What Django answers while it handles the error."""
    try:
        raise error
    except OperationalError:
        return server_error(RequestFactory().get(path))


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


@pytest.mark.parametrize(("kind", "words"), SHORTAGES)
def test_one_that_answers_is_not_called_silent(kind: type[psycopg.Error], words: str) -> None:
    error = as_django(kind("no more of it"))
    assert f"The database {words}</h1>" in page("/", error).text
    problem = json.loads(page("/api/v1/projects", error).text)
    assert problem["detail"].startswith(f"The portal's database {words}. ")
    request = RequestFactory().post("/data")
    for answer, whose in (
        (outage(error), "portal"),
        (outage(kind()), "project"),
        (stopped(request, kind()), "project"),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert json.loads(answer.text)["message"] == f"The {whose}'s database {words}"


def test_a_limit_of_one_statement_is_no_outage() -> None:
    """The same statement would reach it again."""
    error = as_django(errors.ConfigurationLimitExceeded("temporary file size exceeds it"))
    assert not is_outage(error)
    assert page("/", error).status_code == 500
