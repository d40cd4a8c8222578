"""A full database is reported like an outage, because a later request may succeed."""

import json

import psycopg
import pytest
from django.db import DatabaseError, InternalError, OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from psycopg import errors

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.crypto import DecryptionError
from backups_portal.lib.database_outage import is_outage, outage_in_words
from backups_portal.portal_api.view_wrapper import server_error
from backups_portal.tagoio_api.api import api, stopped
from backups_portal.tagoio_api.envelope import outage

ENDED, FAULTY = "ended the connection", "has a fault on its server"
# By SQLSTATE; None marks errors of one statement, not of the server.
STATES = {
    "53000": "lacks something that it needs right now",
    "53100": "cannot store anything right now",
    "53200": "has too little memory right now",
    "53300": "takes no more connections right now",
    "53400": None,
    "57000": ENDED,
    "57014": None,
    "57P01": ENDED,
    "57P02": ENDED,
    "57P03": "is starting or shutting down",
    "57P04": ENDED,
    "57P05": ENDED,
    "58000": FAULTY,
    "58030": FAULTY,
    "58P01": FAULTY,
    "58P02": FAULTY,
    "58P03": FAULTY,
}
# Errors of other classes that end a session.
ENDING = {"25P03": ENDED, "25P04": ENDED}
# The database is a replica.
READING = {"25006": "accepts no changes right now"}
FAULTS = [(code, words) for code, words in (STATES | ENDING | READING).items() if words]
LIMITS = {
    "53400": "allows less temporary space than this takes: ask for less at a time",
    "57014": "took too long: ask for less at a time",
}


def as_django(cause: psycopg.Error) -> DatabaseError:
    """Return the error as Django wraps it."""
    kind = InternalError if isinstance(cause, psycopg.InternalError) else OperationalError
    error = kind("could not extend file")
    error.__cause__ = cause
    return error


def full_disk() -> DatabaseError:
    return as_django(errors.DiskFull("could not extend file: No space left on device"))


def page(path: str, error: Exception) -> HttpResponse:
    """Return Django's answer to a request that raises the error."""
    try:
        raise error
    except (DatabaseError, DecryptionError):
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


def test_every_code_of_these_classes_is_known_here() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.sqlstate or "" for kind in kinds if issubclass(kind, psycopg.Error)}
    assert {code for code in codes if code[:2] in ("53", "57", "58")} == STATES.keys()


@pytest.mark.parametrize(("code", "words"), FAULTS)
def test_one_that_answers_is_not_called_silent(code: str, words: str) -> None:
    kind = errors.lookup(code)
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


def test_a_wrong_installation_key_is_an_outage() -> None:
    error, words = DecryptionError("INSTALLATION_KEY"), "cannot be read right now"
    assert f"The database {words}</h1>" in page("/", error).text
    problem = page("/api/v1/projects", error)
    assert problem.status_code == 503
    assert json.loads(problem.text)["detail"].startswith(f"The portal's database {words}. ")
    assert json.loads(outage(error).text)["message"] == f"The project's database {words}"


@pytest.mark.parametrize(("code", "words"), LIMITS.items())
def test_a_limit_of_one_statement_is_no_outage(code: str, words: str) -> None:
    """Repeating the statement would reach the limit again."""
    kind = errors.lookup(code)
    error = as_django(kind("temporary file size exceeds it"))
    assert not is_outage(error)
    assert page("/", error).status_code == 500
    answer = stopped(RequestFactory().get("/data"), kind())
    assert (answer.status_code, answer.headers.get("Retry-After")) == (400, None)
    assert json.loads(answer.text)["message"] == f"The project's database {words}"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_took_too_long_to_be_stored_may_be_sent_again(method: str) -> None:
    """The server was slow: a device that received a 400 would drop its readings."""
    answer = stopped(RequestFactory().generic(method, "/data"), errors.QueryCanceled())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "Nothing was changed; try again later" in json.loads(answer.text)["message"]


def test_what_two_requests_wait_for_may_be_sent_again() -> None:
    answer = stopped(RequestFactory().post("/data"), errors.DeadlockDetected())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "Another session has locked" in json.loads(answer.text)["message"]


@pytest.mark.parametrize(
    "kind", [errors.IdleInTransactionSessionTimeout, errors.TransactionTimeout]
)
def test_the_api_handles_a_session_that_was_ended(kind: type[psycopg.Error]) -> None:
    assert api.on_exception(RequestFactory().get("/data"), kind("ended")).status_code == 503
