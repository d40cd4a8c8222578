"""`manage.py verify_snapshot ID` or `--all`: read stored snapshots again."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.lib.json_types import JsonObject
from backups_portal.ui.formats import count
from backups_portal.ui.terminal_progress import progress_bar
from snapshots.engine.errors import EngineError
from snapshots.engine.fallback_storage import is_away
from snapshots.integrity.verification import (
    Unverified,
    verifiable,
    verify,
    verify_all,
    verify_copy,
)
from snapshots.management.snapshot_arguments import stored_snapshot
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.configured_storages import has_copies
from snapshots.storages.storage_marker import does_answer


def state_of_copy(snapshot: Snapshot) -> str:
    """Describe the copy; "" if there is no second storage."""
    if not has_copies():
        return ""
    copy = SnapshotCopy.objects.filter(pk=snapshot.pk).first()
    if copy is None:
        return "none"
    when = f", last read {copy.verified_at:%Y-%m-%d %H:%M} UTC" if copy.verified_at else ""
    reason = f": {copy.reason}" if copy.reason else ""
    return f"{copy.state}{when}{reason}"


def _verdict(is_unknown: bool) -> str:
    return "could not be read" if is_unknown else "cannot be restored"


class Command(OperatorCommand):
    """Read every object of a snapshot, comparing it with what was recorded."""

    help = "Read every object of a stored backup and compare it with what was recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("snapshot", type=UUID, metavar="ID", nargs="?", help="its id")
        which.add_argument(
            "--all", action="store_true", help="every stored backup; repairs nothing"
        )
        parser.add_argument(
            "--copy", action="store_true", help="read the copy in the second storage instead"
        )

    def handle(self, *args: object, **options: Any) -> None:
        if options["all"]:
            self._verify_all(copies=options["copy"], as_json=options["json"])
        else:
            self._verify(options)

    def _verify_all(self, *, copies: bool, as_json: bool) -> None:
        found, bad, away, stopped = 0, 0, 0, ""
        stored = verifiable(copies=copies).count()
        for result in verify_all(copies=copies):
            found += 1
            is_bad = isinstance(result, Unverified)
            if as_json:
                self.write_json({**asdict(result), "ok": not is_bad})
            if isinstance(result, Unverified):
                bad, away = bad + (not result.is_away), away + result.is_away
                if not as_json:
                    self.stdout.write(
                        f"snapshot {result.snapshot_id} of {result.project} "
                        f"{_verdict(result.is_away)}: {result.error}"
                    )
                # Otherwise every other backup would wait for all retries, too.
                if result.is_away and found < stored and not does_answer(copies=copies):
                    stopped = (
                        "Stopped because the storage cannot be read: "
                        f"{count(stored - found, 'backup')} not checked."
                    )
                    break
        if not as_json:
            self.stdout.write(
                f"{count(found - away, 'backup')} read, {bad} of them not as recorded"
            )
        total = count(found, "backup")
        lost = f"{bad} of {total} cannot be restored from this storage." if bad else ""
        unknown = f"{away} of {total} could not be read." if away else ""
        if bad or away:
            raise CommandError(" ".join(filter(None, (lost, unknown, stopped))))

    def _verify(self, options: JsonObject) -> None:
        snapshot = stored_snapshot(options["snapshot"])
        check = verify_copy if options["copy"] else verify
        try:
            with progress_bar(self.stderr, silent=options["json"]) as on_progress:
                found = check(snapshot, on_progress)
        except EngineError as error:
            if options["json"]:
                failed = {"snapshot_id": snapshot.id, "ok": False, "error": str(error)}
                self.write_json({**failed, "copy": state_of_copy(snapshot)})
            else:
                self._print_copy(snapshot)
            raise CommandError(
                f"Snapshot {snapshot.id} {_verdict(is_away(error))}: {error}"
            ) from error
        if options["json"]:
            self.write_json({**asdict(found), "ok": True, "copy": state_of_copy(snapshot)})
        else:
            self.stdout.write(
                f"snapshot {found.snapshot_id}: {count(found.rows, 'row')} in "
                f"{count(found.objects, 'object')} "
                f"({count(found.stored_bytes, 'byte')}), as recorded"
            )
            self._print_copy(snapshot)

    def _print_copy(self, snapshot: Snapshot) -> None:
        if state := state_of_copy(snapshot):
            self.stdout.write(f"copy in the second storage: {state}")
