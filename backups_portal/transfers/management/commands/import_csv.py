"""Import a device's records from CSV."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.projectdb.records import Record
from backups_portal.projects.command_lookup import find_project, owner_of
from backups_portal.transfers.csv_files.csv_import import Imported, ImportOptions
from backups_portal.transfers.csv_files.csv_import_export import import_csv
from backups_portal.ui.formats import count


class Command(OperatorCommand):
    """A command that imports all rows or none, unless --good-rows is given."""

    help = "Import a CSV file in TagoIO's format. One bad row stops it, unless --good-rows."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="PROJECT", help="the project's slug")
        parser.add_argument("device", metavar="DEVICE", help="the device's id")
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--good-rows", action="store_true", help="skip bad rows")
        parser.add_argument("--preview", action="store_true", help="check the file, import nothing")
        parser.add_argument(
            "--again", action="store_true", help="also import rows that the device already has"
        )
        parser.add_argument("--owner", help="e-mail of an owner; needed if there are several")

    def handle(self, *args: object, **options: Any) -> None:
        project = find_project(options["project"])
        try:
            with options["file"].open("rb") as file:
                done = import_csv(
                    project,
                    options["device"],
                    file,
                    ImportOptions(
                        good_only=options["good_rows"],
                        again=options["again"],
                        is_preview=options["preview"],
                    ),
                    actor=owner_of([project], options["owner"]),
                )
        except OSError as error:
            raise CommandError(str(error)) from error
        self._print(done, as_json=options["json"])
        if done.is_refused and not options["preview"]:
            raise CommandError(done.in_words())

    def _print(self, done: Imported, *, as_json: bool) -> None:
        errors = [{"line": line.number, "reason": line.reason} for line in done.errors]
        rows = [_row(item) for item in done.preview] if done.options.is_preview else []
        if as_json:
            counts = {"rows": done.rows, "already_there": done.known, "bad": done.bad}
            shown = {"preview": rows} if done.options.is_preview else {}
            self.write_json({**counts, "errors": errors, **shown})
            return
        for row in rows:
            value = f"{row['value']} {row['unit'] or ''}"
            self.stdout.write(f"{row['time']:%F %T}  {row['variable']} = {value}")
        for error in errors:
            self.stdout.write(f"line {error['line']}: {error['reason']}")
        if more := done.bad - len(errors):
            self.stdout.write(f"and {count(more, 'more bad row')}")
        self.stdout.write(done.in_words())


def _row(item: Record) -> dict[str, Any]:
    value = item.text if item.number is None else item.number
    return {"time": item.time, "variable": item.variable, "value": value, "unit": item.unit}
