"""Identify callers by their token: its project, and what it may do there.

The first 8 hex digits of a token are its project's prefix (design decision 15); the project's
database finds the token by its keyed hash. The address of a request does not matter.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

import psycopg
from django.conf import settings
from django.http import HttpRequest, QueryDict
from ninja.security.base import AuthBase
from psycopg import Connection
from psycopg.abc import QueryNoTemplate

from backups_portal.audit.recorder import record
from backups_portal.lib.access_log import masked
from backups_portal.lib.client_address import client_address, neighbourhood
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.limits import Limit
from backups_portal.lib.wsgi_bridge import is_gathered
from backups_portal.projectdb.tokens import RIGHTS, TokenIdentity, find_token, note_use
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.auth.project_lookup import running_project_of
from backups_portal.tagoio_api.connection_pools import Pools
from backups_portal.tagoio_api.envelope import ApiError, NotFoundError

# A UUID. After `p-` (profile) or `a-` (analysis) its last two digits are dropped, except in older
# tokens.
TOKEN = re.compile(
    r"(?:[pa]-)?([0-9a-f]{8})-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{10}(?:..)?"
)
BEARER = re.compile(r"^\s*bearer ", re.IGNORECASE)
# The addresses that use a project without a token; those of files name its profile.
OPEN = re.compile(
    r"/+(?:file/+(?P<profile>[^/]*)|(?:shared|backups|scripts)/|account/+(?:login|profile/+token)/*$)"
)
# Every header in which clients and their documentation send a token; the SDKs use the first one.
HEADERS = (
    *("HTTP_TOKEN", "HTTP_AUTHORIZATION", "HTTP_PROFILE_TOKEN", "HTTP_ACCOUNT_TOKEN"),
    *("HTTP_DEVICE_TOKEN", "HTTP_ANALYSIS_TOKEN"),
)
# The right that each HTTP method needs.
METHODS = {"GET": "read", "POST": "write", "PUT": "write", "DELETE": "delete"}
# The key of the borrowed connection in `request.META`.
BORROWED = "backups_portal.connection"
# How often refused tokens are recorded: per address, and per project in total.
REFUSED_THERE = Limit("token-refused", 1, 60 * 60)
REFUSED = Limit("tokens-refused", 20, 60 * 60)


@cache
def pools() -> Pools:
    """Return the connection pools of this process."""
    return Pools(
        limit=settings.API_CONNECTIONS_PER_PROJECT,
        idle_limit=settings.API_IDLE_CONNECTIONS,
        idle_seconds=settings.API_IDLE_SECONDS,
        wait_seconds=settings.API_WAIT_SECONDS,
    )


@dataclass(frozen=True)
class Caller:
    """A caller, with a connection to its project for the whole request.

    Each statement autocommits; several in one transaction need `connection.transaction()`.
    """

    project: Project
    token: TokenIdentity
    connection: Connection

    @property
    def device_id(self) -> str:
        """Return the device of a device token."""
        return self.token.device_id or ""

    def may(self, *rights: str) -> bool:
        """Tell whether the token has all of these rights: read, write, delete."""
        return RIGHTS[self.token.permission].issuperset(rights)

    def covers(self, permission: str) -> bool:
        """Tell whether the caller may do everything that this permission allows.

        Every token that a request creates or shows is checked by this, so that no caller can gain
        rights that its own token lacks.
        """
        return self.may(*RIGHTS[permission])

    @property
    def keys(self) -> Keyring:
        """Return the installation's keys."""
        return keyring()

    def change(self, what: str, statement: QueryNoTemplate, values: Sequence[object]) -> None:
        """Execute a statement that changes or deletes one row of the project.

        Raises:
            NotFoundError: no row matched.
        """
        if not self.connection.execute(statement, values).rowcount:
            raise NotFoundError(what)


class ApiRequest(HttpRequest):
    """An authenticated request."""

    auth: Caller


class TokenAccess(AuthBase):
    """Authentication by some kinds of tokens; all others get 401."""

    openapi_type = "apiKey"
    openapi_in = "header"
    openapi_name = "token"

    def __init__(self, *kinds: str, needs: str | None = None) -> None:
        self._kinds = kinds
        self._needs = needs
        super().__init__()

    def __call__(self, request: HttpRequest) -> Caller | None:
        caller = _identify(request)
        if caller is None:
            return None
        _check_limit(caller.token.id)
        if caller.token.use_is_due:
            note_use(caller.connection, caller.token.id)
        return caller if self._lets_in(caller.token, request.method or "") else None

    def _lets_in(self, token: TokenIdentity, method: str) -> bool:
        needed = self._needs or METHODS.get(method, "read")
        return token.kind in self._kinds and token.is_active and needed in RIGHTS[token.permission]


# Resources of a project; an analysis token is as good as a profile token.
profile = TokenAccess("profile", "analysis")
# Requests that delete in bulk or revoke; the right to write is not enough.
profile_deletes = TokenAccess("profile", "analysis", needs="delete")
# The routes of a device itself.
device = TokenAccess("device")
analysis = TokenAccess("analysis")
# Routes that accept any kind of token.
anyone = TokenAccess("profile", "analysis", "device")


def presented(request: HttpRequest) -> str:
    """Read the token of a request from its headers, else from `?token=`."""
    return _presented_in(request.META)


def _presented_in(environ: Mapping[str, Any]) -> str:
    found = next((value for name in HEADERS if (value := environ.get(name))), None)
    query = "" if found else environ.get("QUERY_STRING", "")
    return BEARER.sub("", found or QueryDict(query).get("token") or "").strip()


def tenant_in(environ: Mapping[str, Any]) -> str:
    """Name the project that a request uses; "" if it is not clear yet.

    Where no token is needed, nobody checks it, and it may name a project that the sender only wants
    to keep busy. Larger bodies need one everywhere, see large_bodies.py.
    """
    if is_gathered(environ) and (found := OPEN.match(environ["PATH_INFO"])):
        return found["profile"] or ""
    match = TOKEN.fullmatch(_presented_in(environ))
    return match[1] if match else ""


def _identify(request: HttpRequest) -> Caller | None:
    value = presented(request)
    project = find_project(value)
    if project is None:
        return None
    try:
        connection = borrow(request, project)
        token = find_token(connection, value, keys=keyring())
    except psycopg.OperationalError:
        # Expected if the project was shut down and its database dropped since it was cached.
        if running_project_of(project.prefix, fresh=True) is None:
            return None
        raise
    return Caller(project, token, connection) if token else None


def _check_limit(token_id: str) -> None:
    """Raise ApiError if a token exceeds the operator's request limit."""
    max_requests = settings.API_REQUESTS_PER_MINUTE
    if max_requests and (wait := Limit("api-requests", max_requests, 60).take(token_id)):
        message = f"Too many requests (Retry-After: {wait})"
        raise ApiError(message, HTTPStatus.TOO_MANY_REQUESTS)


def is_known(request: HttpRequest) -> bool:
    """Tell whether a request has a valid token, without keeping a connection."""
    try:
        return _identify(request) is not None
    finally:
        release(request)


def borrow(request: HttpRequest, project: Project) -> Connection:
    """Borrow a connection to a project's database until the request ends."""
    connection = pools().take(project.prefix, lambda: project_dsn(project))
    request.META[BORROWED] = project.prefix, connection
    return connection


def running_project(**which: object) -> Project:
    """Find the running project that a request without a token is about.

    Raises:
        NotFoundError: no running project matches.
    """
    project = Project.objects.active().select_related("server").filter(**which).first()
    if project is None:
        raise NotFoundError("Profile")
    return project


def find_project(token: str) -> Project | None:
    """Find the running project that a token's prefix names."""
    match = TOKEN.fullmatch(token)
    return running_project_of(match[1]) if match else None


def note_refusal(request: HttpRequest) -> None:
    """Record a refused token whose prefix is that of a running project.

    This is limited to once an hour per address and a number per project, so that somebody who
    guesses tokens cannot flood the log.
    """
    project = find_project(presented(request))
    where = neighbourhood(client_address())
    if project is None or REFUSED_THERE.take(f"{project.pk} {where}"):
        return
    if not REFUSED.take(str(project.pk)):
        subject = f"{request.method} {masked(request.path)}"
        record(action="token.refused", actor=None, project=project, subject=subject)


def release(request: HttpRequest) -> None:
    """Return the connection of a request to its pool, if it has one."""
    borrowed = request.META.pop(BORROWED, None)
    if borrowed:
        pools().give_back(*borrowed)
