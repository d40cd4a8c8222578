"""The watch over logs recognises the secrets that it exists for."""

import logging
from collections.abc import Callable

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.test import Client

from backups_portal.projects.database_dsn import keyring
from snapshots.engine.encryption import MasterKeys
from tests import factories
from tests.nosecrets import INVENTED, KEPT, Watch

pytestmark = pytest.mark.django_db


def a_password() -> str:
    account = factories.make_account()
    account.set_password("a phrase with blanks")
    return "a phrase with blanks"


def a_link() -> str:
    return str(default_token_generator.make_token(factories.make_account()))


def a_session() -> str:
    client = Client()
    client.force_login(factories.make_account())
    return str(client.session.session_key)


def a_master_key() -> str:
    MasterKeys.parse(f"one:{'5e' * 32}")
    return "5e" * 32


def a_data_key() -> str:
    masters = MasterKeys.parse(f"one:{'5e' * 32}")
    assert masters
    masters.wrap("name", bytes.fromhex("6f" * 32))
    return "6f" * 32


@pytest.mark.parametrize("made", [a_password, a_link, a_session, a_master_key, a_data_key])
def test_what_is_logged_of_it_is_found(
    made: Callable[[], str], pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It uses a separate log; otherwise the suite would fail, as it should."""
    known = pytestconfig.stash[KEPT]
    secret = made()
    watch = Watch(tmp_path_factory.mktemp("leak") / "lines.txt")
    watch.secrets, watch.phrases = known.secrets, known.phrases
    watch.handle(logging.makeLogRecord({"msg": f"signed in with {secret}, says a line"}))
    (leak,) = watch.leaks([])
    assert secret not in leak
    assert "<secret>" in leak


def test_what_a_test_made_up_is_no_secret(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A fuzzer also sends such an id as a token, which is looked up and not found."""
    known = pytestconfig.stash[KEPT]
    guess = "fe" * 12
    keyring().digest(guess)
    assert guess in known.secrets
    watch = Watch(tmp_path_factory.mktemp("guess") / "lines.txt")
    watch.secrets = known.secrets
    watch.handle(logging.makeLogRecord({"msg": f"Not Found: /device/{guess}"}))
    assert len(watch.leaks([])) == 1
    INVENTED.add(guess)
    assert watch.leaks([]) == []


def test_a_letter_repeated_is_no_secret(pytestconfig: pytest.Config) -> None:
    """A fuzzer in another process sends it as an id, too."""
    keyring().digest("0" * 24)
    assert "0" * 24 not in pytestconfig.stash[KEPT].secrets
