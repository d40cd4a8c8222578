"""Identify the accounts of a project's owners for TagoIO clients."""

import json
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest

from backups_portal.accounts.models import Account
from backups_portal.accounts.second_factor import asks_for_code, spend_app_code
from backups_portal.accounts.sign_in_limits import CODE, forgive_sign_in, take_for, take_sign_in
from backups_portal.audit.recorder import record
from backups_portal.projects.models import Membership, Project
from backups_portal.tagoio_api.envelope import ApiError, BusyError

WRONG = "Invalid E-mail or Password"
# Tells these audit events from those of the portal's pages.
BY_API = {"by": "API"}
# Clients parse this message to know which kind of code to ask for.
CODE_WANTED = json.dumps({"otp_enabled": ["authenticator"], "otp_autosend": "authenticator"})


def account_key(account: Account) -> str:
    """Format an account's id as 24 hex digits."""
    return f"{account.pk:024x}"


def owners(project: Project) -> list[Account]:
    """List the owners with active accounts, longest-standing first."""
    memberships = Membership.objects.filter(
        project=project, role=Membership.Role.OWNER, account__is_active=True
    )
    return [one.account for one in memberships.select_related("account").order_by("id")]


def first_owner(project: Project) -> Account:
    """Return the account of a profile token; its creator is not recorded."""
    found = owners(project)
    return found[0] if found else project.created_by


def sign_in(
    request: HttpRequest, email: str, password: str, code: str, *, spend_code: bool = True
) -> Account:
    """Authenticate an account by e-mail, password and app code if enabled.

    Args:
        spend_code: Invalidate the code. Clients first send the same one to list the profiles.

    Raises:
        ApiError: no active account matches, or the code is missing or wrong.
        BusyError: too many attempts, here or at the portal's own sign-in.
    """
    # PostgreSQL rejects NUL characters, and no e-mail address contains one.
    email = email.replace("\0", "")
    if not settings.PASSWORD_SIGN_IN:
        raise ApiError("Passwords are turned off: make a token at the portal", HTTPStatus.FORBIDDEN)
    # Before the password check, so that a blocked guesser does not learn which guess is right.
    if wait := take_sign_in(email):
        raise BusyError(wait)
    account = authenticate(request, username=email, password=password)
    if not isinstance(account, Account):
        record(action="session.refused", actor=None, subject=email, details=BY_API)
        raise ApiError(WRONG, HTTPStatus.UNAUTHORIZED)
    forgive_sign_in(email)
    check_code(request, account, code, spend_code=spend_code)
    return account


def check_code(
    request: HttpRequest, account: Account, code: str, *, spend_code: bool = True
) -> None:
    """Check the code of an account's app; pass if it has no second factor.

    An account with passkeys only cannot sign in with a password; it makes tokens at the portal.

    Raises:
        ApiError: the code is missing or wrong; the client then prompts for one.
        BusyError: too many codes were wrong.
    """
    if not asks_for_code(account):
        return
    if not code:
        raise ApiError(CODE_WANTED, HTTPStatus.BAD_REQUEST)
    if wait := take_for(CODE, account):
        raise BusyError(wait)
    if not spend_app_code(account, code, keep=not spend_code):
        record(action="session.code_refused", actor=account, details=BY_API)
        raise ApiError("Invalid code", HTTPStatus.UNAUTHORIZED)
    CODE.forget(str(account.pk))
