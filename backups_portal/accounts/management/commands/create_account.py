"""The command that creates an account that can sign in."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.ui.visible_names import name_problem

ALREADY = "The account {} already exists."


class Command(OperatorCommand):
    """Lets the first person into an installation."""

    help = "Create an account. You are asked for its password, unless standard input has it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the e-mail address to sign in with")
        parser.add_argument("--name", default="", help="the person's name")

    def handle(self, *args: Any, **options: Any) -> None:
        if Account.objects.filter(email__iexact=options["email"]).exists():
            raise CommandError(ALREADY.format(options["email"]))
        if options["name"] and (problem := name_problem(options["name"])):
            raise CommandError(problem)
        # Never an argument: everybody on the machine can see command lines.
        password = getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        wanted = Account(
            email=Account.objects.normalize_email(options["email"]), name=options["name"]
        )
        try:
            wanted.full_clean(exclude=["password"])
            validate_password(password, wanted)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        try:
            with transaction.atomic():
                account = Account.objects.create_user(wanted.email, password, name=wanted.name)
                account.record("account.created")
        except IntegrityError as error:
            # Another command has created it since the check.
            raise CommandError(ALREADY.format(wanted.email)) from error
        if options["json"]:
            self.write_json({"id": account.pk, "email": account.email})
        else:
            self.stdout.write(f"Created the account {account.email}.")
