"""Django's command to change a password, recorded in the audit log."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import DEFAULT_DB_ALIAS, transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import ByOperator


class Command(ByOperator, changepassword.Command):
    """For forgotten passwords in installations without mail. Signs out all browsers."""

    help = "Change an account's password. You are asked for the new one twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        # Django's own defaults to the system user's name, and accepts any database.
        parser.add_argument("username", metavar="EMAIL", help="the e-mail address of the account")
        parser.set_defaults(database=DEFAULT_DB_ALIAS)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> str | None:
        account = Account.objects.named(options.pop("username"))
        result = super().handle(*args, username=account.email, **options)
        account.end_email_change()
        account.record("account.password_set")
        return result
