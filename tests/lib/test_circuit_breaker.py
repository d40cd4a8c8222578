"""Only one caller at a time tries an unresponsive host, until it answers."""

from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest

from backups_portal.lib import circuit_breaker
from backups_portal.lib.circuit_breaker import KEY, unless_silent
from backups_portal.lib.redis_client import redis_client
from backups_portal.lib.safe_http import OutgoingError


@pytest.fixture
def host() -> str:
    return f"{uuid4()}.example.com"


class RefusedError(OSError):
    """The host has answered with a refusal."""


def is_asked(host: str, failure: type[Exception] | None = None) -> bool:
    """Return whether a call reaches the host, which then fails like this."""
    asked = False
    try:
        with unless_silent("test", host, answers=(RefusedError,)):
            asked = True
            if failure:
                raise failure
    except (OSError, OutgoingError, ValueError):
        pass
    return asked


@pytest.fixture
def silent(host: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A host that timed out once."""
    with monkeypatch.context() as patched:
        patched.setattr(circuit_breaker, "PATIENCE_SECONDS", 0.0)
        assert is_asked(host, TimeoutError)
    return host


def end_pause(host: str) -> None:
    redis_client().delete(f"{KEY}:test:{host}:turn")


def test_one_that_fails_at_once_is_asked_again(host: str) -> None:
    assert is_asked(host, TimeoutError)
    assert is_asked(host)


def test_a_silent_one_is_not_asked(silent: str) -> None:
    assert not is_asked(silent)
    assert 50 < redis_client().ttl(f"{KEY}:test:{silent}:turn") <= 60


@pytest.mark.parametrize(
    ("failure", "is_silence"),
    [
        (TimeoutError, True),
        (ConnectionResetError, True),
        (OutgoingError, True),
        (RefusedError, False),
        (ValueError, False),
    ],
)
def test_only_no_answer_is_silence(
    host: str, monkeypatch: pytest.MonkeyPatch, failure: type[Exception], is_silence: bool
) -> None:
    """A late refusal is an answer, and the portal's own error says nothing about the host."""
    monkeypatch.setattr(circuit_breaker, "PATIENCE_SECONDS", 0.0)
    assert is_asked(host, failure)
    assert is_asked(host) is not is_silence


def test_one_caller_tries_while_the_others_do_not_wait(silent: str) -> None:
    end_pause(silent)
    with unless_silent("test", silent):
        assert not is_asked(silent)
    assert is_asked(silent), "it has answered"


def test_it_stays_silent(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    end_pause(silent)
    monkeypatch.setattr(circuit_breaker, "PATIENCE_SECONDS", 0.0)
    assert is_asked(silent, TimeoutError)
    assert not is_asked(silent)


def test_a_pause_that_doubled_is_short_again_after_an_answer(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "PATIENCE_SECONDS", 0.0)
    pauses = []
    for failure in (TimeoutError, TimeoutError, None, TimeoutError):
        end_pause(host)
        with suppress(TimeoutError), unless_silent("test", host, longest=timedelta(minutes=8)):
            if failure:
                raise failure
        # -2 means that the key is missing.
        pauses.append(redis_client().ttl(f"{KEY}:test:{host}:turn"))
    one, two = pytest.approx(60, abs=9), pytest.approx(120, abs=9)
    assert pauses == [one, two, -2, one]
