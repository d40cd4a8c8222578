"""Give an account a new password; Django's own command, written down in the audit log."""

from getpass import getuser
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import ByOperator
from backups_portal.audit.recorder import record


class Command(ByOperator, changepassword.Command):
    """For who has forgotten it where no messages are sent. All browsers are signed out."""

    help = "Change an account's password. You are asked for the new one twice."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> str | None:
        said = super().handle(*args, **options)
        account = Account.objects.get(email=options["username"] or getuser())
        account.end_email_change()
        record(
            action="account.password_set",
            actor=None,
            subject=account.email,
            details={"account": account.pk},
        )
        return said
