"""Authentication by `Authorization: Bearer`, never by a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest
from ninja.security.base import AuthBase

from backups_portal.access_tokens.issued_tokens import (
    find_access_token,
    note_use,
    record_refused_use,
    refusal_of,
)
from backups_portal.access_tokens.models import AccessToken
from backups_portal.access_tokens.scopes import Scope, allows
from backups_portal.accounts.models import Account
from backups_portal.lib.client_address import client_address, neighbourhood
from backups_portal.lib.limits import Limit
from backups_portal.portal_api.problem_details import ProblemError
from backups_portal.projects.database_dsn import check_key

MINUTE = 60
NO_TOKEN = "Send “Authorization: Bearer bp_…”. Create a token on your Security page."  # noqa: S105
UNKNOWN = "There is no such token."
# The query parameters of an address, by method.
Parameters = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Caller:
    """The account for which a request acts, and its token."""

    account: Account
    token: AccessToken

    @property
    def means(self) -> str:
        """Describe the token for the audit log."""
        return f"API token {self.token.name} …{self.token.last_four}"


class ApiRequest(HttpRequest):
    """An authenticated request.

    Attributes:
        parameters: The known query parameters of its address.
    """

    auth: Caller
    parameters: Parameters


def identify(request: HttpRequest) -> Caller | None:
    """Identify the caller; None if no token was sent.

    Raises:
        ProblemError: the token is unknown or no longer valid, or exceeded its rate limit.
        DecryptionError: no token can be looked up, because the installation key is another one.
    """
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    token = find_access_token(value.strip())
    if token is None:
        check_key()
    reason = refusal_of(token) if token else UNKNOWN
    if token is None or reason:
        _refuse(token, reason)
        raise ProblemError(HTTPStatus.UNAUTHORIZED, reason)
    _throttle(token)
    note_use(token)
    return Caller(token.account, token)


class Needs(AuthBase):
    """Authentication by tokens that have a scope."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        super().__init__()

    def __call__(self, request: HttpRequest) -> Caller | None:
        caller: Caller | None = getattr(request, "caller", None)
        if caller is None:
            return None
        if not allows(caller.token.scopes, self.scope):
            reason = f"This token lacks the scope {self.scope}."
            _refuse(caller.token, reason)
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                f"{reason} Create one that has it on your Security page.",
                code="insufficient_scope",
                needed_scope=self.scope,
            )
        return caller


def _throttle(token: AccessToken) -> None:
    most = settings.PORTAL_API_REQUESTS_PER_MINUTE
    if most and (wait := Limit("portal-api", most, MINUTE).take(str(token.pk))):
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"This token is limited to {most} requests a minute. Try again in {wait} s.",
            retry_after=wait,
        )


def _refuse(token: AccessToken | None, reason: str) -> None:
    who = f"{token.pk} {reason}" if token else neighbourhood(client_address())
    record_refused_use(token, reason, who=who)
