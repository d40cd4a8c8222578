"""Identify callers by their token: its project, and what it may do there.

The first 8 hex digits of a token are its project's (design decision 15); the project's database
knows the rest by keyed hash. The address of a request says nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

import psycopg
from django.conf import settings
from django.http import HttpRequest
from ninja.security.base import AuthBase
from psycopg import Connection
from psycopg.abc import QueryNoTemplate

from backups_portal.audit.recorder import record
from backups_portal.lib.access_log import masked
from backups_portal.lib.client_address import client_address, neighbourhood
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.limits import Limit
from backups_portal.projectdb.tokens import RIGHTS, TokenIdentity, find_token, note_use
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.auth.project_lookup import running_project_of
from backups_portal.tagoio_api.connection_pools import Pools
from backups_portal.tagoio_api.envelope import ApiError, NotFoundError

# A UUID; behind `p-` for a profile and `a-` for an analysis without its last two digits, which
# older tokens have.
TOKEN = re.compile(
    r"(?:[pa]-)?([0-9a-f]{8})-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{10}(?:..)?"
)
# All that clients and their documentation send a token in; the SDKs use the first one.
HEADERS = (
    *("HTTP_TOKEN", "HTTP_AUTHORIZATION", "HTTP_PROFILE_TOKEN", "HTTP_ACCOUNT_TOKEN"),
    *("HTTP_DEVICE_TOKEN", "HTTP_ANALYSIS_TOKEN"),
)
# What each method of a request needs.
METHODS = {"GET": "read", "POST": "write", "PUT": "write", "DELETE": "delete"}
# Where a request keeps its connection, beside what the server says of it.
BORROWED = "backups_portal.connection"
# How often refused tokens are written down: from an address, and of a project in all.
REFUSED_THERE = Limit("token-refused", 1, 60 * 60)
REFUSED = Limit("tokens-refused", 20, 60 * 60)


@cache
def pools() -> Pools:
    """Return the connections of this process."""
    return Pools(
        limit=settings.API_CONNECTIONS_PER_PROJECT,
        idle_limit=settings.API_IDLE_CONNECTIONS,
        idle_seconds=settings.API_IDLE_SECONDS,
        wait_seconds=settings.API_WAIT_SECONDS,
    )


@dataclass(frozen=True)
class Caller:
    """A caller, with a connection to the project's database for as long as the request lasts.

    Each statement is a transaction of its own; several at once need `connection.transaction()`.
    """

    project: Project
    token: TokenIdentity
    connection: Connection

    @property
    def device_id(self) -> str:
        """Return the device that a device token speaks for."""
        return self.token.device_id or ""

    def may(self, *rights: str) -> bool:
        """Tell whether the token has all of these rights: read, write, delete."""
        return RIGHTS[self.token.permission].issuperset(rights)

    def covers(self, permission: str) -> bool:
        """Tell whether the caller may do all that this permission allows.

        What a request makes or shows of tokens is held against this: no token leads to more than
        it may do itself.
        """
        return self.may(*RIGHTS[permission])

    @property
    def keys(self) -> Keyring:
        """Return the installation's keys."""
        return keyring()

    def change(self, what: str, statement: QueryNoTemplate, values: Sequence[object]) -> None:
        """Execute a statement that changes or deletes one thing of the project.

        Raises:
            NotFoundError: there is none.
        """
        if not self.connection.execute(statement, values).rowcount:
            raise NotFoundError(what)


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
    """Read the token of a request from its headers, else from `?token=`."""
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
    _check_limit(token.id)
    if token.use_is_due:
        note_use(connection, token.id)
    return Caller(project, token, connection)


def _check_limit(token_id: str) -> None:
    """Count one request of a token, if the operator limits them; raise ApiError for one too many.

    Migrations need none.
    """
    max_requests = settings.API_REQUESTS_PER_MINUTE
    if max_requests and (wait := Limit("api-requests", max_requests, 60).take(token_id)):
        message = f"Too many requests (Retry-After: {wait})"
        raise ApiError(message, HTTPStatus.TOO_MANY_REQUESTS)


def is_known(request: HttpRequest) -> bool:
    """Tell whether a request has a valid token; keep no connection for it."""
    value = presented(request)
    project = find_project(value)
    connection = _enter(request, project) if project else None
    try:
        return connection is not None and find_token(connection, value, keys=keyring()) is not None
    finally:
        release(request)


def _enter(request: HttpRequest, project: Project) -> Connection | None:
    """Connect to the project's database; None if it was just shut down."""
    try:
        return borrow(request, project)
    except psycopg.OperationalError:
        if running_project_of(project.prefix, fresh=True) is None:
            return None
        raise


def borrow(request: HttpRequest, project: Project) -> Connection:
    """Take a connection to a project's database until the request ends."""
    connection = pools().take(project.prefix, lambda: project_dsn(project))
    request.META[BORROWED] = project.prefix, connection
    return connection


def running_project(**which: object) -> Project:
    """Find the running project that a request without a token is about.

    Raises:
        NotFoundError: there is none.
    """
    project = Project.objects.active().select_related("server").filter(**which).first()
    if project is None:
        raise NotFoundError("Profile")
    return project


def find_project(token: str) -> Project | None:
    """Find the running project whose token this would be."""
    match = TOKEN.fullmatch(token)
    return running_project_of(match[1]) if match else None


def note_refusal(request: HttpRequest) -> None:
    """Record that a token was refused that looks like a running project's.

    This happens once an hour for an address, and a limited number of times for a project, so that
    trying tokens fills no log.
    """
    project = find_project(presented(request))
    where = neighbourhood(client_address())
    if project is None or REFUSED_THERE.take(f"{project.pk} {where}"):
        return
    if not REFUSED.take(str(project.pk)):
        subject = f"{request.method} {masked(request.path)}"
        record(action="token.refused", actor=None, project=project, subject=subject)


def release(request: HttpRequest) -> None:
    """Give the connection of a request back, if it has one."""
    borrowed = request.META.pop(BORROWED, None)
    if borrowed:
        pools().give_back(*borrowed)
