"""`manage.py snapshots diff A B` and `snapshots find PROJECT DEVICE`."""

from argparse import ArgumentTypeError
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.time_arguments import day_argument
from backups_portal.projects.command_lookup import find_project
from backups_portal.ui.formats import count
from backups_portal.ui.terminal_progress import progress_bar
from snapshots.engine.difference import Difference
from snapshots.engine.errors import EngineError
from snapshots.management.snapshot_arguments import stored_snapshot
from snapshots.reports.lost_rows import MAX_DEVICES, Found, day_of, find_devices, find_rows
from snapshots.reports.snapshot_comparison import Compared, compare_snapshots, compare_with_now

NOW = "now"


class Command(OperatorCommand):
    """Look into stored backups without opening their segments."""

    help = "Compare stored backups, or find out which of them have a device's rows."
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        diff = actions.add_parser(
            "diff", help="show what differs between two backups, or one and now"
        )
        diff.add_argument("before", type=UUID, metavar="A", help="a snapshot's id")
        diff.add_argument(
            "after", type=_id_or_now, metavar="B", help="another snapshot's id, or “now”"
        )
        find = actions.add_parser("find", help="count a device's rows in each backup")
        find.add_argument("project", metavar="PROJECT", help="the project's slug")
        find.add_argument("device", metavar="DEVICE", help="the device's name or id, or part of it")
        find.add_argument(
            "--day",
            type=day_argument,
            metavar="DAY",
            help="only rows of this day, in UTC",
        )
        for action in (diff, find):
            action.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: object, **options: Any) -> None:
        if options["action"] == "diff":
            self._diff(options["before"], options["after"], options["json"])
        else:
            self._find(options["project"], options["device"], options["day"], options["json"])

    def _diff(self, before_id: UUID, after_id: UUID | str, as_json: bool) -> None:
        before = stored_snapshot(before_id)
        try:
            if isinstance(after_id, UUID):
                after = stored_snapshot(after_id)
                if after.project_id != before.project_id:
                    raise CommandError("These are backups of different projects.")
                compared = compare_snapshots(before, after)
            else:
                with progress_bar(self.stderr, silent=as_json) as on_progress:
                    compared = compare_with_now(before, on_progress=on_progress)
        except EngineError as error:
            raise CommandError(f"They cannot be compared: {error}") from error
        if as_json:
            self.write_json(_document(compared))
        else:
            self._print(compared)

    def _print(self, compared: Compared) -> None:
        difference = compared.difference
        for table in difference.tables:
            self.stdout.write(
                f"{table.table}: {count(table.before, 'row')} before, {table.after:,} after"
            )
        for device in difference.devices:
            self.stdout.write(
                f"device {device.change}: {device.name} ({device.device_id}), "
                f"{count(device.gained, 'row')} gained, {device.lost:,} lost, "
                f"{count(device.days, 'day')}"
            )
        for device_id in sorted(difference.remade):
            self.stdout.write(
                f"{device_id} was deleted and made again: its rows are counted, but not compared"
            )
        for day in difference.chunks:
            self.stdout.write(
                f"{day_of(day.chunk)} {day.change}: {count(day.before, 'row')} before, "
                f"{day.after:,} after, {count(day.devices, 'device')}"
            )
        for part in difference.unlocated:
            self.stdout.write(f"chunks {part.first} to {part.end} differ somewhere")
        self.stdout.write(_summary(compared))

    def _find(self, slug: str, text: str, day: date | None, as_json: bool) -> None:
        project = find_project(slug)
        try:
            matching = find_devices(project, text)
            devices = matching.devices
            found = find_rows(project, devices[0].device_id, day) if len(devices) == 1 else None
        except EngineError as error:
            raise CommandError(f"No backup could be searched: {error}") from error
        if matching.unreadable:
            self.stderr.write(f"{count(matching.unreadable, 'stored backup')} could not be read")
        if found is None:
            names = ", ".join(f"{d.name} ({d.device_id})" for d in devices[:MAX_DEVICES])
            if len(devices) > MAX_DEVICES:
                names += f" and {len(devices) - MAX_DEVICES:,} more"
            none = "No backup that could be read" if matching.unreadable else "No stored backup"
            raise CommandError(
                f"{count(len(devices), 'device')} match “{text}”: {names}"
                if devices
                else f"{none} has a device “{text}”."
            )
        if as_json:
            self.write_json(_found_document(devices[0].device_id, found))
            return
        for item in found.holdings:
            rows = item.error if item.rows is None else count(item.rows, "row")
            mark = "  (the most)" if item.is_most else ""
            self.stdout.write(f"{item.snapshot.taken_at}  {item.snapshot.pk}  {rows}{mark}")
        if found.now is not None:
            self.stdout.write(f"now  {count(found.now, 'row')}")


def _id_or_now(text: str) -> UUID | str:
    if text == NOW:
        return text
    try:
        return UUID(text)
    except ValueError as error:
        raise ArgumentTypeError(f"“{text}” is neither a snapshot's id nor “now”") from error


def _summary(compared: Compared) -> str:
    difference = compared.difference
    found = (
        "nothing differs"
        if difference.is_empty
        else f"{count(len(difference.devices), 'device')} and "
        f"{count(len(difference.chunks), 'day')} differ: "
        f"{count(difference.gained, 'row')} gained, {difference.lost:,} lost"
    )
    took = f"compared in {compared.seconds:.2f} s"
    if compared.reading:
        took += f", {count(compared.reading.rows, 'row')} read of the main database"
    return f"{found}; {took}"


def _document(compared: Compared) -> dict[str, object]:
    difference: Difference = compared.difference
    return {
        "tables": [asdict(item) for item in difference.tables],
        "devices": [asdict(item) for item in difference.devices],
        "days": [{"day": day_of(item.chunk), **asdict(item)} for item in difference.chunks],
        "remade": sorted(difference.remade),
        "cells": difference.cells.to_pylist(),
        "unlocated": [asdict(part) for part in difference.unlocated],
        "seconds": compared.seconds,
        "reading": asdict(compared.reading) if compared.reading else None,
    }


def _found_document(device_id: str, found: Found) -> dict[str, object]:
    return {
        "device_id": device_id,
        "now": found.now,
        "backups": [
            {
                "snapshot_id": item.snapshot.pk,
                "taken_at": item.snapshot.taken_at,
                "rows": item.rows,
                "error": item.error or None,
                "is_most": item.is_most,
            }
            for item in found.holdings
        ],
    }
