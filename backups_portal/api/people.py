"""The people behind a project, as TagoIO clients know accounts."""

from http import HTTPStatus

from django.contrib.auth import authenticate
from django.http import HttpRequest

from backups_portal.accounts.models import Account
from backups_portal.api.envelope import ApiError
from backups_portal.api.throttle import check_tries, forget_tries, note_try
from backups_portal.audit.services import address_of, record
from backups_portal.projects.models import Membership, Project

WRONG = "Invalid E-mail or Password"


def account_key(account: Account) -> str:
    """24 hex digits for an account."""
    return f"{account.pk:024x}"


def owners(project: Project) -> list[Account]:
    """The project's owners, those of longest standing first."""
    memberships = Membership.objects.filter(project=project, role=Membership.Role.OWNER)
    return [one.account for one in memberships.select_related("account").order_by("id")]


def first_owner(project: Project) -> Account:
    """The account that a profile token speaks for: tokens do not know who made them."""
    found = owners(project)
    return found[0] if found else project.created_by


def sign_in(request: HttpRequest, email: str, password: str) -> Account:
    """The account with this e-mail and password.

    Raises:
        ApiError: there is none, it is closed, or there were too many wrong tries.
    """
    # PostgreSQL knows no NUL, nor does any e-mail.
    email = email.replace("\0", "")
    who = f"{address_of(request)} {email.lower()}"
    check_tries(who)
    account = authenticate(request, username=email, password=password)
    if not isinstance(account, Account):
        note_try(who)
        record(action="session.refused", actor=None, subject=email, address=address_of(request))
        raise ApiError(WRONG, HTTPStatus.UNAUTHORIZED)
    forget_tries(who)
    return account
