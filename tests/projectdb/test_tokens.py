"""Tokens name their project, are looked up by keyed hash, and are never stored in plain text."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.ids import (
    new_resource_id,
    new_token_uuid,
    variable_id,
    variable_number,
)
from backups_portal.projectdb.tokens import (
    SEALED,
    TokenGrant,
    create_token,
    find_token,
    mint,
    reveal,
)
from tests.projectdatabases import DEVICE, KEYS, Connection, Target, add_device

prefixes = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)


@given(prefixes)
def test_a_token_is_a_version_4_uuid_that_begins_with_the_prefix(prefix: str) -> None:
    token = new_token_uuid(prefix)
    assert str(token).startswith(prefix)
    assert (token.version, token.variant) == (4, uuid.RFC_4122)
    assert new_token_uuid(prefix) != token


@pytest.mark.parametrize(
    ("kind", "begins"), [("device", ""), ("profile", "p-"), ("analysis", "a-")]
)
def test_kinds_are_told_apart(kind: str, begins: str) -> None:
    token = mint(kind, prefix="abcd1234", keys=KEYS)
    assert token.value.startswith(f"{begins}abcd1234-")
    assert len(token.value) == 36
    assert token.last_four == token.value[-4:]
    assert token.value.encode() not in token.sealed_value


@given(prefixes, st.integers(0, 2**63 - 1))
def test_a_variable_id_tells_its_number_in_its_own_database_only(prefix: str, number: int) -> None:
    text = variable_id(prefix, number)
    assert len(text) == 24
    assert variable_number(prefix, text) == number
    other = f"{int(prefix, 16) ^ 1:08x}"
    assert variable_number(other, text) is None


def test_resource_ids_grow_with_time() -> None:
    first, second = new_resource_id(), new_resource_id()
    assert first != second
    assert first[:12] <= second[:12]
    assert len(first) == 24


def test_a_token_is_found_until_it_expires(database: Connection, target: Target) -> None:
    add_device(database)
    lasting = create_token(
        database,
        TokenGrant("device", name="Default", device_id=DEVICE, permission="read"),
        keys=KEYS,
    )
    expired = create_token(
        database,
        TokenGrant("profile", name="Old", expires_at=datetime.now(UTC) - timedelta(seconds=1)),
        keys=KEYS,
    )
    found = find_token(database, lasting.value, keys=KEYS)
    assert found is not None
    assert (found.kind, found.device_id, found.permission) == ("device", DEVICE, "read")
    assert lasting.value.startswith(target.prefix)
    assert find_token(database, expired.value, keys=KEYS) is None
    assert find_token(database, lasting.value[:-1], keys=KEYS) is None
    assert find_token(database, lasting.value, keys=Keyring(b"o" * 32)) is None


def test_only_the_installation_reveals_a_token(database: Connection) -> None:
    token = create_token(database, TokenGrant("profile", name="Script"), keys=KEYS)
    sealed, prefix = database.execute(f"SELECT {SEALED} FROM token").fetchall()[0]
    assert reveal(sealed, prefix, keys=KEYS) == token.value
    assert reveal(sealed, prefix, keys=Keyring(b"o" * 32)) == ""


@pytest.mark.parametrize("kind", ["profile", "device", "analysis"])
def test_a_sealed_token_of_another_database_is_not_revealed(kind: str) -> None:
    """An owner could otherwise read another project's tokens out of a copy of its database."""
    sealed = mint(kind, prefix="aaaaaaaa", keys=KEYS).sealed_value
    assert reveal(sealed, "bbbbbbbb", keys=KEYS) == ""
    assert reveal(b"none", "bbbbbbbb", keys=KEYS) == ""


def test_a_token_fits_its_kind(database: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        create_token(database, TokenGrant("device", name="Lost"), keys=KEYS)
