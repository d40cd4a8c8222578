"""The command that unlinks accounts from their identities at the single sign-on provider."""

from argparse import ArgumentParser
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.core.management.base import CommandError
from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import OperatorCommand


class Command(OperatorCommand):
    """Needed if the provider has given somebody, or everybody, a new id."""

    help = (
        "Unlink an account from single sign-on; the next sign-in with its verified e-mail joins it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "email", nargs="?", metavar="EMAIL", help="the e-mail address of the account"
        )
        which.add_argument(
            "--all", action="store_true", help="all accounts, if the provider has given new ids"
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        joined = SocialAccount.objects.all()
        if not options["all"]:
            account = Account.objects.named(options["email"])
            joined = joined.filter(user=account)
            if not joined.exists():
                raise CommandError(f"Nobody has joined {account.email} by single sign-on.")
        accounts = Account.objects.filter(pk__in=joined.values("user")).order_by("email")
        rows = [{"email": account.email, "removed": _reset(account)} for account in accounts]
        if options["json"]:
            self.write_json(rows if options["all"] else rows[0])
            return
        for row in rows:
            self.stdout.write(f"Removed from {row['email']}: {', '.join(row['removed'])}.")
        if not rows:
            self.stdout.write("Nobody has joined an account by single sign-on.")


def _reset(account: Account) -> list[str]:
    joined = SocialAccount.objects.filter(user=account)
    removed = sorted(joined.values_list("uid", flat=True))
    joined.delete()
    account.record("account.single_sign_on_reset", removed=", ".join(removed))
    return removed
