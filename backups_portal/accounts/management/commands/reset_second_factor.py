"""The command that removes a lost second factor from an account."""

from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import CommandError
from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import OperatorCommand


class Command(OperatorCommand):
    """For people who have lost their phone and recovery codes; keeps the password."""

    help = "Remove an account's authenticator app, passkeys and recovery codes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the e-mail address of the account")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.named(options["email"])
        factors = Authenticator.objects.filter(user=account)
        removed = sorted(factors.values_list("type", flat=True))
        if not removed:
            raise CommandError(f"The account {account.email} has no second factor.")
        factors.delete()
        account.record("account.second_factor_reset", removed=", ".join(removed))
        if options["json"]:
            self.write_json({"email": account.email, "removed": removed})
        else:
            self.stdout.write(f"Removed from {account.email}: {', '.join(removed)}.")
