"""Check whether the tokens of open streams are still valid."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import psycopg
from django.db import OperationalError, close_old_connections
from psycopg import Connection

from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.tokens import find_token
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.tagoio_api.auth.project_lookup import running_project_of
from backups_portal.tagoio_api.auth.project_token_auth import pools
from backups_portal.tagoio_api.connection_pools import PoolBusyError

log = get_logger(__name__)


@dataclass(frozen=True, order=True)
class Claim:
    """A token, with its permission when the stream began."""

    prefix: str
    value: str
    permission: str


def refused(claims: Iterable[Claim]) -> set[Claim]:
    """Find the claims that are no longer valid; none if the database is down."""
    gone: set[Claim] = set()
    for prefix, own in groupby(sorted(claims), key=lambda claim: claim.prefix):
        try:
            gone |= _refused_of(prefix, list(own))
        except (psycopg.OperationalError, OperationalError, PoolBusyError):
            log.warning("tokens of a project could not be looked up", exc_info=True)
    return gone


def _refused_of(prefix: str, claims: list[Claim]) -> set[Claim]:
    close_old_connections()
    project = running_project_of(prefix)
    if project is None:
        return set(claims)
    connection = pools().take(prefix, lambda: project_dsn(project))
    try:
        return {claim for claim in claims if not _is_good(connection, claim)}
    finally:
        pools().give_back(prefix, connection)


def _is_good(connection: Connection, claim: Claim) -> bool:
    token = find_token(connection, claim.value, keys=keyring())
    return token is not None and token.is_active and token.permission == claim.permission
