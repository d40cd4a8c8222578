"""Read a device's records from CSV."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.exchanging import Imported, import_csv
from backups_portal.transfers.operating import find_project, owner_of


class Command(BaseCommand):
    """All or nothing, unless --good-rows."""

    help = "Stores the records of a CSV file in TagoIO's format: all of them, or none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="SLUG")
        parser.add_argument("device", metavar="DEVICE", help="the device's id")
        parser.add_argument("file", type=Path)
        parser.add_argument("--good-rows", action="store_true", help="leave bad lines out")
        parser.add_argument("--preview", action="store_true", help="show the first rows only")
        parser.add_argument("--owner", help="e-mail of an owner; needed if there are several")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        try:
            with options["file"].open("rb") as file:
                done = import_csv(
                    project,
                    options["device"],
                    file,
                    actor=owner_of([project], options["owner"]),
                    good_only=options["good_rows"],
                    preview=options["preview"],
                )
        except OSError as error:
            raise CommandError(str(error)) from error
        except TransferRefusedError as error:
            raise CommandError(error.message) from error
        self._print(done, as_json=options["json"])
        if done.bad and not (options["good_rows"] or options["preview"]):
            raise CommandError(f"Nothing was stored: {done.bad} lines are bad.")

    def _print(self, done: Imported, *, as_json: bool) -> None:
        errors = [{"line": line.number, "reason": line.reason} for line in done.errors]
        if as_json:
            self.stdout.write(json.dumps({"rows": done.rows, "bad": done.bad, "errors": errors}))
            return
        for item in done.preview:
            value = item.text if item.number is None else item.number
            self.stdout.write(f"{item.time:%F %T}  {item.variable} = {value} {item.unit or ''}")
        for error in errors:
            self.stdout.write(f"line {error['line']}: {error['reason']}")
        self.stdout.write(f"{done.rows} records stored, {done.bad} bad lines")
