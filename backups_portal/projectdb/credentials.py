"""Writing what people and scripts prove themselves with: run users and secrets."""

from typing import Any

from argon2 import PasswordHasher
from psycopg import Connection

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.resources import create

SECRET_PURPOSE = "secret"  # noqa: S105 - names what is sealed, is no secret


def create_run_user(
    connection: Connection[Any], *, name: str, email: str, password: str, **values: Any
) -> str:
    """A person who signs in to the project; of the password, only a salted hash is stored.

    Raises:
        psycopg.errors.UniqueViolation: another one has this e-mail, in whatever case.
    """
    hashed = PasswordHasher().hash(password)
    return create(connection, "run_user", name=name, email=email, password_hash=hashed, **values)


def create_secret(connection: Connection[Any], *, keys: Keyring, key: str, value: str) -> str:
    """A secret; its value is sealed with the installation's key."""
    return create(
        connection,
        "secret",
        key=key,
        sealed_value=keys.seal(value, SECRET_PURPOSE),
        value_length=len(value),
    )
