"""Base classes of operators' commands, which the audit log attributes to the operator.

An account that a command names, such as with `--owner`, owns the result but did not act.
"""

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from backups_portal.audit.recorder import acting_by_command
from backups_portal.lib.bulkhead import FullError
from backups_portal.lib.crypto import DecryptionError
from backups_portal.lib.database_outage import DJANGO_ERRORS, DRIVER_ERRORS, outage_in_words
from backups_portal.lib.refusals import RefusedError
from backups_portal.lib.startup import SETTINGS

# What a shell reports for a process that Ctrl-C has ended.
INTERRUPTED = 130


class ByOperator(BaseCommand):
    """Base of commands that are derived from Django's."""

    def execute(self, *args: object, **options: object) -> str | None:
        with acting_by_command(system_user()):
            try:
                return super().execute(*args, **options)
            except (*DJANGO_ERRORS, *DRIVER_ERRORS) as error:
                raise CommandError(outage_in_words(error)) from error
            except (RefusedError, FullError, PermissionDenied, DecryptionError) as error:
                raise CommandError(str(error)) from error
            except EOFError as error:
                raise CommandError(
                    "Standard input ended before it answered. Run this command in a terminal."
                ) from error


class OperatorCommand(ByOperator):
    """Base of every other command of the portal."""

    # The other checks find developers' mistakes, and load every page for that: half of a start.
    requires_system_checks = [SETTINGS]
    # Whether it has a `--json` option; commands with subcommands add the option to each of them.
    has_json = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.has_json:
            parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    def write_json(self, document: object) -> None:
        """Print a document as JSON, with ids and times as text."""
        self.stdout.write(json.dumps(document, default=str))


@contextmanager
def continued_by_workers(what: str) -> Iterator[None]:
    """Say, if Ctrl-C ends the command, that a worker continues its work.

    The work's row stays, and its lease expires.

    Args:
        what: The work, as the beginning of a sentence.

    Raises:
        CommandError: Ctrl-C was pressed.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise CommandError(
            f"{what} continues: a worker takes it over within a few minutes.",
            returncode=INTERRUPTED,
        ) from error


def system_user() -> str:
    """Return the name of the user who runs this process, or the number."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        # A container may run under a number without a name.
        return str(number)
