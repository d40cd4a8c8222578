"""Profile tokens: what an owner lets scripts and the command line act with."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from backups_portal.accounts.models import Account
from backups_portal.audit.services import record
from backups_portal.projectdb import profiletokens
from backups_portal.projectdb.profiletokens import ProfileToken
from backups_portal.projectdb.tokens import NewToken, create_token
from backups_portal.projects.connections import keyring, project_dsn
from backups_portal.projects.errors import DatabaseUnreachableError, TokenRefusedError
from backups_portal.projects.models import Project

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
Connection = psycopg.Connection[tuple[object, ...]]


def list_tokens(project: Project) -> list[ProfileToken]:
    """Every token of the project's profile, newest first.

    Raises:
        DatabaseUnreachableError: the main database does not answer.
    """
    with _database(project) as connection:
        return profiletokens.list_profile_tokens(connection)


def make_token(
    *,
    project: Project,
    actor: Account,
    name: str,
    permission: str,
    expires_at: datetime | None,
    address: str | None = None,
) -> NewToken:
    """A new token of the project's profile; nobody can read its value again.

    Raises:
        TokenRefusedError: another one has this name, so that nobody could tell them apart.
        DatabaseUnreachableError: the main database does not answer.
    """
    with _database(project) as connection, connection.transaction():
        # One at a time, or a form that is sent twice makes two of one name.
        connection.execute("LOCK TABLE token IN SHARE ROW EXCLUSIVE MODE")
        if profiletokens.has_profile_token(connection, name):
            raise TokenRefusedError(
                f"There is a token named “{name}” already. Revoke it, or choose another name."
            )
        token = create_token(
            connection,
            keys=keyring(),
            kind="profile",
            name=name,
            permission=permission,
            expires_at=expires_at,
        )
    details = {
        "last_four": token.last_four,
        "permission": permission,
        "expires_at": expires_at.isoformat() if expires_at else "never",
    }
    record(
        action="token.created",
        actor=actor,
        project=project,
        subject=name,
        details=details,
        address=address,
    )
    return token


def revoke_token(
    *, project: Project, actor: Account, token_id: str, address: str | None = None
) -> ProfileToken | None:
    """Let nobody act with a token any more; None where it is gone already.

    Raises:
        DatabaseUnreachableError: the main database does not answer.
    """
    with _database(project) as connection:
        token = profiletokens.delete_profile_token(connection, token_id)
    if token is not None:
        record(
            action="token.revoked",
            actor=actor,
            project=project,
            subject=token.name,
            details={"last_four": token.last_four},
            address=address,
        )
    return token


@contextmanager
def _database(project: Project) -> Iterator[Connection]:
    """The main database; every statement is a transaction unless one is begun."""
    try:
        dsn = project_dsn(project)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
            yield connection
    except psycopg.OperationalError as error:
        log.exception("main database cannot be reached project=%s", project.pk)
        raise DatabaseUnreachableError("The main database does not answer.") from error
