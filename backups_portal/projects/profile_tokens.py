"""Profile tokens, with which scripts and the command line act."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.lib import pgsession
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.refusals import RefusedError
from backups_portal.projectdb.tokens import (
    NewToken,
    ProfileToken,
    TokenGrant,
    create_token,
    delete_profile_token,
    has_profile_token,
    list_profile_tokens,
)
from backups_portal.projects.access import Permission, hold_right
from backups_portal.projects.database_dsn import keyring, project_dsn, why_silent
from backups_portal.projects.errors import DatabaseUnreachableError
from backups_portal.projects.models import Project

log = get_logger(__name__)

CONNECT_SECONDS = 5
Connection = psycopg.Connection[tuple[object, ...]]


def list_tokens(project: Project) -> list[ProfileToken]:
    """List the tokens of the project's profile, newest first.

    Raises:
        DatabaseUnreachableError: the main database does not answer.
    """
    with _database(project) as connection:
        return list_profile_tokens(connection)


def make_token(
    *, project: Project, actor: Account, name: str, permission: str, expires_at: datetime | None
) -> NewToken:
    """Make a token of the project's profile; its value is shown once.

    Raises:
        RefusedError: another token has this name, so they could not be told apart.
        DatabaseUnreachableError: the main database does not answer.
        RightLostError: the actor was removed while this waited for the database.
    """
    with transaction.atomic(), _database(project) as connection, connection.transaction():
        # Serialize, or a form that is sent twice makes two tokens of one name.
        connection.execute("LOCK TABLE token IN SHARE ROW EXCLUSIVE MODE")
        if has_profile_token(connection, name):
            raise RefusedError(
                f"There is already a token named “{name}”. Revoke it, or choose another name.",
                field="name",
            )
        token = create_token(
            connection,
            TokenGrant("profile", name=name, permission=permission, expires_at=expires_at),
            keys=keyring(),
        )
        # Hold the right until both transactions have ended.
        hold_right(actor, Permission.MANAGE_API, project)
        details = {
            "last_four": token.last_four,
            "permission": permission,
            "expires_at": expires_at.isoformat() if expires_at else "never",
        }
        record(action="token.created", actor=actor, project=project, subject=name, details=details)
    return token


def revoke_token(*, project: Project, actor: Account, token_id: str) -> ProfileToken | None:
    """Revoke a profile token; None if it is gone already.

    Raises:
        DatabaseUnreachableError: the main database does not answer.
    """
    with transaction.atomic(), _database(project) as connection, connection.transaction():
        token = delete_profile_token(connection, token_id)
        if token is not None:
            record(
                action="token.revoked",
                actor=actor,
                project=project,
                subject=token.name,
                details={"last_four": token.last_four},
            )
    return token


@contextmanager
def _database(project: Project) -> Iterator[Connection]:
    """Open the main database, with autocommit."""
    try:
        dsn = project_dsn(project)
        with pgsession.connect(
            dsn, autocommit=True, settings=pgsession.PAGE, patience=CONNECT_SECONDS
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        log.exception("main database cannot be reached", project=project.pk)
        raise DatabaseUnreachableError(why_silent(project, error)) from error
