"""Identify the accounts behind a project, as TagoIO clients know them."""

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
# In the audit log, beside what is done at the portal.
BY_API = {"by": "API"}
# What clients read to know which kind of code to ask for.
CODE_WANTED = json.dumps({"otp_enabled": ["authenticator"], "otp_autosend": "authenticator"})


def account_key(account: Account) -> str:
    """Write an account's id in 24 hex digits."""
    return f"{account.pk:024x}"


def owners(project: Project) -> list[Account]:
    """List the owners whose accounts are open, longest standing first."""
    memberships = Membership.objects.filter(
        project=project, role=Membership.Role.OWNER, account__is_active=True
    )
    return [one.account for one in memberships.select_related("account").order_by("id")]


def first_owner(project: Project) -> Account:
    """Find the account of a profile token; tokens do not know their makers."""
    found = owners(project)
    return found[0] if found else project.created_by


def sign_in(
    request: HttpRequest, email: str, password: str, code: str, *, spend_code: bool = True
) -> Account:
    """Find the account with this e-mail and password, and its app's code if it has one.

    Args:
        spend_code: Use the code up; clients send the same one first to look at the profiles.

    Raises:
        ApiError: there is none, it is closed, or a code is missing or wrong.
        BusyError: there were too many tries, here or at the portal's own sign-in.
    """
    # PostgreSQL knows no NUL, nor does any e-mail.
    email = email.replace("\0", "")
    if not settings.PASSWORD_SIGN_IN:
        raise ApiError("Passwords are turned off: make a token at the portal", HTTPStatus.FORBIDDEN)
    # Before the password is looked at: right ones are found out no faster than wrong ones.
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

    An account with passkeys alone gets in nowhere by its password, and makes tokens at the portal.

    Raises:
        ApiError: the code is missing or wrong; clients ask for one, or for another.
        BusyError: too many were wrong.
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
