"""Write the passwords and secrets of a project."""

from argon2 import PasswordHasher
from psycopg import Connection

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.resource_writer import create

SECRET_PURPOSE = "secret"  # noqa: S105 - names what is sealed, is no secret


def create_run_user(
    connection: Connection, *, name: str, email: str, password: str, **values: object
) -> str:
    """Make a run user, who signs in to the project; store a salted hash only.

    Raises:
        psycopg.errors.UniqueViolation: another run user has this e-mail, ignoring case.
    """
    hashed = PasswordHasher().hash(password)
    return create(connection, "run_user", name=name, email=email, password_hash=hashed, **values)


def create_secret(
    connection: Connection, *, keys: Keyring, key: str, value: str, **values: object
) -> str:
    """Make a secret, whose value is sealed with the installation's key.

    Raises:
        psycopg.errors.UniqueViolation: another secret has this key.
    """
    return create(
        connection,
        "secret",
        key=key,
        sealed_value=keys.seal(value, SECRET_PURPOSE),
        value_length=len(value),
        **values,
    )


def seal_secret(connection: Connection, secret_id: str, *, keys: Keyring, value: str) -> None:
    """Replace the value of a secret."""
    connection.execute(
        "UPDATE secret SET sealed_value = %s, value_length = %s, updated_at = now() WHERE id = %s",
        [keys.seal(value, SECRET_PURPOSE), len(value), secret_id],
    )


def set_password(connection: Connection, user_id: str, password: str) -> None:
    """Replace the password of a run user."""
    connection.execute(
        "UPDATE run_user SET password_hash = %s, updated_at = now() WHERE id = %s",
        [PasswordHasher().hash(password), user_id],
    )
