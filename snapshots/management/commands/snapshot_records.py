"""`manage.py snapshot_records ID DEVICE`: write a device's records."""

import sys
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.output_file import add_output_argument, write_new_file
from backups_portal.audit.time_arguments import moment_argument
from snapshots.engine.errors import EngineError
from snapshots.engine.series_search import Selection, micros
from snapshots.management.snapshot_arguments import stored_snapshot
from snapshots.reports.device_reading import (
    FILE_SECONDS,
    OpenDevice,
    UnknownDeviceError,
    find_obstacle,
    note_export,
    open_device,
)


class Command(OperatorCommand):
    """Write one device's records straight from storage, without a restore."""

    help = "Write the records of a device in a backup as CSV (which import_csv takes) or Parquet."
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("snapshot", type=UUID, metavar="ID", help="the snapshot's id")
        parser.add_argument("device", metavar="DEVICE", help="the device's id")
        parser.add_argument(
            "--variable", action="append", metavar="NAME", help="only this one; repeatable"
        )
        for name, what in (("--since", "from this time on (ISO 8601)"), ("--until", "before it")):
            parser.add_argument(name, type=moment_argument, metavar="TIME", help=what)
        parser.add_argument("--format", choices=["csv", "parquet"], default="csv")
        add_output_argument(parser)

    def handle(self, *args: object, **options: Any) -> None:
        snapshot = stored_snapshot(options["snapshot"])
        try:
            opened = open_device(snapshot, options["device"], seconds=FILE_SECONDS)
            kind = options["format"]
            pieces = opened.file(_selection(opened, options), kind)
            note_export(snapshot, None, opened.device, kind, via="snapshot_records")
            if options["output"] is None:
                sys.stdout.buffer.writelines(pieces)
            else:
                write_new_file(options["output"], pieces)
        except UnknownDeviceError as error:
            raise CommandError(f"This backup has no device {error}.") from error
        except EngineError as error:
            raise CommandError(str(find_obstacle(snapshot, error))) from error


def _selection(opened: OpenDevice, options: dict[str, Any]) -> Selection:
    names = options["variable"]
    series = opened.records.series
    if unknown := sorted({*(names or ())} - {one.variable for one in series}):
        raise CommandError(f"The device has no variable {unknown[0]} in this backup.")
    return Selection(
        tuple(one for one in series if not names or one.variable in names),
        micros(options["since"]),
        micros(options["until"]),
    )
