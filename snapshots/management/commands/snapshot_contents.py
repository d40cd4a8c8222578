"""`manage.py snapshot_contents ID`: list what a stored snapshot contains."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.ui.formats import data_size
from snapshots.engine.errors import EngineError
from snapshots.management.snapshot_arguments import stored_snapshot
from snapshots.models import Snapshot
from snapshots.reports.contents import EXCLUDED_LABELS, DeviceLine, Inside, contents_of, look_inside


class Command(OperatorCommand):
    """Read the manifest and the contents of a snapshot, but no segments."""

    help = "List what a stored backup contains, device by device, and what it leaves out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("snapshot", type=UUID, metavar="ID", help="the snapshot's id")

    def handle(self, *args: object, **options: Any) -> None:
        snapshot = stored_snapshot(options["snapshot"])
        try:
            inside = look_inside(snapshot)
        except EngineError as error:
            raise CommandError(f"The contents of {snapshot.id} cannot be read: {error}") from error
        if options["json"]:
            self.write_json(_document(snapshot, inside))
        else:
            self._print(snapshot, inside)

    def _print(self, snapshot: Snapshot, inside: Inside) -> None:
        self.stdout.write(f"snapshot {snapshot.id}, state of {snapshot.taken_at}")
        for content in contents_of(snapshot.table_rows):
            self.stdout.write(f"{content.rows:>12,}  {content.label}")
        self.stdout.write("devices: rows, variables, first, last")
        for device in inside.devices:
            self.stdout.write(_line(device))
        self.stdout.write("left out" if inside.excluded else "nothing was left out")
        for item in inside.excluded:
            label = EXCLUDED_LABELS[item.kind]
            self.stdout.write(f"{data_size(item.size):>14}  {item.name} ({item.count} {label})")


def _line(device: DeviceLine) -> str:
    span = f"{device.first} … {device.last}" if device.first else "no rows"
    return f"{device.rows:>12,}  {device.variables:>4}  {device.name} ({device.device_id}), {span}"


def _document(snapshot: Snapshot, inside: Inside) -> dict[str, object]:
    return {
        "snapshot_id": snapshot.id,
        "taken_at": snapshot.taken_at.isoformat() if snapshot.taken_at else None,
        "table_rows": snapshot.table_rows,
        **asdict(inside),
    }
