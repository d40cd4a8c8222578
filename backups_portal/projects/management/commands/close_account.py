"""Close an account, or open it again."""

from argparse import ArgumentParser
from typing import Any

from allauth.usersessions.models import UserSession
from django.core.management.base import CommandError
from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.projects.models import Membership, Project


class Command(OperatorCommand):
    """Closes the account of somebody who leaves; the memberships stay."""

    help = (
        "Close an account: nobody can sign in to it, its browsers are signed out, and its API "
        "tokens do not work until it is reopened. Its projects go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the e-mail address of the account")
        parser.add_argument("--reopen", action="store_true", help="open a closed account again")

    def handle(self, *args: Any, **options: Any) -> None:
        account = _set_open(options["email"], is_open=options["reopen"])
        slugs = _without_owner(account)
        if options["json"]:
            result = {"email": account.email, "is_open": account.is_active}
            self.write_json({**result, "projects_without_owner": slugs})
            return
        self.stdout.write(f"The account {account.email} is {_state(account.is_active)}.")
        if slugs:
            self.stdout.write(
                f"Nobody who can sign in owns these projects now: {', '.join(slugs)}."
            )


@transaction.atomic
def _set_open(email: str, *, is_open: bool) -> Account:
    """Close or open an account; raise CommandError if nothing would change."""
    account = Account.objects.select_for_update().get(pk=Account.objects.named(email).pk)
    if account.is_active == is_open:
        raise CommandError(f"The account {account.email} is {_state(is_open)} already.")
    account.is_active = is_open
    account.save(update_fields=["is_active"])
    if not is_open:
        _shut_out(account)
    account.record("account.reopened" if is_open else "account.closed")
    return account


def _shut_out(account: Account) -> None:
    """End sessions and pending e-mail changes, which a reopening would revive."""
    for session in UserSession.objects.filter(user=account):
        session.end()
    account.end_email_change()


def _state(is_open: bool) -> str:
    return "open" if is_open else "closed"


def _without_owner(account: Account) -> list[str]:
    """List the account's projects that no open account owns, by slug."""
    owners = Membership.objects.filter(role=Membership.Role.OWNER)
    owned = owners.filter(account__is_active=True).values("project")
    projects = Project.objects.filter(pk__in=owners.filter(account=account).values("project"))
    left = projects.exclude(state=Project.State.REMOVED).exclude(pk__in=owned)
    return list(left.order_by("slug").values_list("slug", flat=True))
