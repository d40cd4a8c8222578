"""Who asks: the token of a request, the project it belongs to, and what it may do there.

The first 8 hex digits of a token are its project's (design decision 15); the project's database
knows the rest by keyed hash. The address of a request says nothing.
"""

import re
from dataclasses import dataclass
from functools import cache

import psycopg
from django.conf import settings
from django.http import HttpRequest
from ninja.security.base import AuthBase

from backups_portal.api.limits import check_limit
from backups_portal.api.pools import Connection, Pools
from backups_portal.api.portal import running_project_of
from backups_portal.audit.services import address_of, record
from backups_portal.lib.accesslog import masked
from backups_portal.lib.client_address import neighbourhood
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.throttle import Limit
from backups_portal.projectdb.tokens import TokenIdentity, find_token, note_use
from backups_portal.projects.connections import keyring, project_dsn
from backups_portal.projects.models import Project

# A UUID, behind `p-` for a profile and `a-` for an analysis.
TOKEN = re.compile(
    r"(?:[pa]-)?([0-9a-f]{8})-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
# All that clients and their documentation send a token in; the SDKs use the first one.
HEADERS = (
    *("HTTP_TOKEN", "HTTP_AUTHORIZATION", "HTTP_PROFILE_TOKEN", "HTTP_ACCOUNT_TOKEN"),
    *("HTTP_DEVICE_TOKEN", "HTTP_ANALYSIS_TOKEN"),
)
METHODS = {"GET": "read", "POST": "write", "PUT": "write", "DELETE": "delete"}
# How often refused tokens are written down: from an address, and of a project in all.
REFUSED_THERE = Limit("token-refused", 1, 60 * 60)
REFUSED = Limit("tokens-refused", 20, 60 * 60)
# What each permission of a token lets it do. Devices delete their data with the right to write it.
RIGHTS = {
    "full": frozenset({"read", "write", "delete"}),
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
}


@cache
def pools() -> Pools:
    """The connections of this process."""
    return Pools(
        limit=settings.API_CONNECTIONS_PER_PROJECT,
        idle_limit=settings.API_IDLE_CONNECTIONS,
        idle_seconds=settings.API_IDLE_SECONDS,
        wait_seconds=settings.API_WAIT_SECONDS,
    )


@dataclass(frozen=True)
class Caller:
    """Who asks, with a connection to the project's database for as long as the request lasts.

    In it every statement is a transaction; several at once need `connection.transaction()`.
    """

    project: Project
    token: TokenIdentity
    connection: Connection

    @property
    def device_id(self) -> str:
        """The device that a device token speaks for."""
        return self.token.device_id or ""

    @property
    def keys(self) -> Keyring:
        """The installation's keys."""
        return keyring()


class ApiRequest(HttpRequest):
    """A request that was let in."""

    auth: Caller


class TokenAccess(AuthBase):
    """Lets tokens of some kinds in; what is refused gets 401 `Authorization Denied`."""

    openapi_type = "apiKey"
    openapi_in = "header"
    openapi_name = "token"

    def __init__(self, *kinds: str, needs: str | None = None) -> None:
        self._kinds = kinds
        self._needs = needs
        super().__init__()

    def __call__(self, request: HttpRequest) -> Caller | None:
        caller = _identify(request, presented(request))
        if caller and self._lets_in(caller.token, request.method or ""):
            return caller
        return None

    def _lets_in(self, token: TokenIdentity, method: str) -> bool:
        needed = self._needs or METHODS.get(method, "read")
        if token.kind == "device" and needed == "delete":
            needed = "write"
        return token.kind in self._kinds and token.is_active and needed in RIGHTS[token.permission]


# Resources of a project; an analysis' token is as good as the profile's.
profile = TokenAccess("profile", "analysis")
# What clears more than it names: not with the right to write alone.
profile_deletes = TokenAccess("profile", "analysis", needs="delete")
# A device's own routes.
device = TokenAccess("device")
analysis = TokenAccess("analysis")
# Any token tells whose it is, whatever it may do.
anyone = TokenAccess("profile", "analysis", "device")


def presented(request: HttpRequest) -> str:
    """The token of a request, in whichever header it came; else `?token=`, or nothing."""
    found = next((value for name in HEADERS if (value := request.META.get(name))), None)
    return (found or request.GET.get("token", "")).removeprefix("Bearer ").strip()


def _identify(request: HttpRequest, value: str) -> Caller | None:
    project = find_project(value)
    connection = _enter(request, project) if project else None
    if project is None or connection is None:
        return None
    token = find_token(connection, value, keys=keyring())
    if token is None:
        return None
    check_limit(token.id)
    if token.use_is_due:
        note_use(connection, token.id)
    return Caller(project, token, connection)


def _enter(request: HttpRequest, project: Project) -> Connection | None:
    """A connection to the project's database; None where it was shut down a moment ago."""
    try:
        connection = pools().take(project.prefix, lambda: project_dsn(project))
    except psycopg.OperationalError:
        if running_project_of(project.prefix, anew=True) is None:
            return None
        raise
    request.borrowed = (project.prefix, connection)  # type: ignore[attr-defined]
    return connection


def find_project(token: str) -> Project | None:
    """The running project whose token this would be."""
    match = TOKEN.fullmatch(token)
    return running_project_of(match[1]) if match else None


def note_refusal(request: HttpRequest) -> None:
    """Write down that a token was refused which a running project would have made.

    Once an hour for an address, and so often for a project: whoever tries tokens fills no log.
    """
    project = find_project(presented(request))
    where = address_of(request)
    if project is None or REFUSED_THERE.take(f"{project.pk} {neighbourhood(where)}"):
        return
    if not REFUSED.take(str(project.pk)):
        subject = f"{request.method} {masked(request.path)}"
        record(action="token.refused", actor=None, project=project, subject=subject, address=where)


def release(request: HttpRequest) -> None:
    """Give the connection of a request back, if it has one."""
    borrowed = request.__dict__.pop("borrowed", None)
    if borrowed:
        pools().give_back(*borrowed)
