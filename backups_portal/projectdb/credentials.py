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


def create_secret(
    connection: Connection[Any], *, keys: Keyring, key: str, value: str, **values: Any
) -> str:
    """A secret; its value is sealed with the installation's key.

    Raises:
        psycopg.errors.UniqueViolation: another one has this key.
    """
    return create(
        connection,
        "secret",
        key=key,
        sealed_value=keys.seal(value, SECRET_PURPOSE),
        value_length=len(value),
        **values,
    )


def seal_secret(connection: Connection[Any], secret_id: str, *, keys: Keyring, value: str) -> None:
    """Give a secret another value."""
    connection.execute(
        "UPDATE secret SET sealed_value = %s, value_length = %s, updated_at = now() WHERE id = %s",
        [keys.seal(value, SECRET_PURPOSE), len(value), secret_id],
    )


def set_password(connection: Connection[Any], user_id: str, password: str) -> None:
    """Give a run user another password."""
    connection.execute(
        "UPDATE run_user SET password_hash = %s, updated_at = now() WHERE id = %s",
        [PasswordHasher().hash(password), user_id],
    )
