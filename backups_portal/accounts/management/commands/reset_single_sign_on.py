"""Take the person of the provider of single sign-on off an account."""

import json
from argparse import ArgumentParser
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.core.management.base import CommandError
from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.recorder import record


class Command(OperatorCommand):
    """For an account whose person has another id at the provider now."""

    help = "Let the next person that signs in with an account's verified e-mail join it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="the e-mail address of the account")
        parser.add_argument("--json", action="store_true", help="print JSON")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(email__iexact=options["email"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['email']}.")
        joined = SocialAccount.objects.filter(user=account)
        removed = sorted(joined.values_list("uid", flat=True))
        if not removed:
            raise CommandError(f"Nobody has joined {account.email} by single sign-on.")
        joined.delete()
        details = {"account": account.pk, "removed": ", ".join(removed)}
        record(
            action="account.single_sign_on_reset",
            actor=None,
            subject=account.email,
            details=details,
        )
        if options["json"]:
            self.stdout.write(json.dumps({"email": account.email, "removed": removed}))
        else:
            self.stdout.write(f"Removed from {account.email}: {', '.join(removed)}.")
