"""`manage.py evidence PROJECT`: write the signed evidence of a period."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandError
from django.utils import timezone

from backups_portal.audit.operator_command import OperatorCommand, system_user
from backups_portal.evidence.evidence_requests import make_file, owners_of, period_of, scope_for
from backups_portal.projects.command_lookup import find_project


class Command(OperatorCommand):
    """Writes the same file that owners get from the project's page."""

    help = (
        "Write the backup evidence of a project as signed JSON: what was backed up, proven, "
        "restored and deleted in a period, and who had access. Without days: the current quarter."
    )
    has_json = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="PROJECT", help="the project's slug")
        day = partial(parser.add_argument, type=_day, metavar="DAY")
        day("--from", dest="first", help="first day, such as 2026-10-01")
        day("--to", dest="last", help="last day; both are days in the project's time zone")
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="a new file; else standard output"
        )

    def handle(self, *args: object, **options: Any) -> None:
        project, now = find_project(options["project"]), timezone.now()
        period = period_of(project, options["first"], options["last"], now=now)
        scope = scope_for(owners_of(project), project, period, now)
        file = make_file(scope, actor=None, made_by=f"operator ({system_user()})")
        content = orjson.dumps(file.members, option=orjson.OPT_APPEND_NEWLINE)
        if options["out"] is None:
            self.stdout.write(content.decode(), ending="")
            return
        _write(options["out"], content)
        self.stdout.write(
            f"{scope.title}: {len(content):,} bytes in {options['out']}, signed by the key with "
            f"SHA-256 {file.members['signed_by']}"
        )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"“{text}” is not a day. Write it as 2026-10-01.") from error


def _write(path: Path, content: bytes) -> None:
    """Write a new file completely, or leave none."""
    try:
        with path.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            except OSError:
                path.unlink()
                raise
    except FileExistsError as error:
        raise CommandError(f"{path} is there already. Name a new file.") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
