"""`manage.py repair_snapshot ID` or `--needed`: put back lost objects."""

from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.recorder import record
from backups_portal.lib.json_types import JsonObject
from backups_portal.ui.formats import count
from snapshots.engine.errors import EngineError
from snapshots.engine.fallback_storage import is_away
from snapshots.management.snapshot_arguments import stored_snapshot
from snapshots.models import Snapshot
from snapshots.replication.repair import needing_repair, repair
from snapshots.storages.storage_marker import does_answer


class Command(OperatorCommand):
    """Write objects back into the first storage from the copies, by hand."""

    help = (
        "Read every object of a backup in the first storage, and rewrite missing or damaged ones "
        "from its copy."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("snapshot", type=UUID, metavar="ID", nargs="?", help="its id")
        which.add_argument(
            "--needed", action="store_true", help="backups whose restore or proof needed the copy"
        )
        which.add_argument("--all", action="store_true", help="every backup that has a copy")

    def handle(self, *args: object, **options: Any) -> None:
        failed, stopped = 0, ""
        snapshots = _chosen(options)
        if snapshots:
            _record_start(options, len(snapshots))
        for number, snapshot in enumerate(snapshots, 1):
            try:
                repaired = repair(snapshot)
                result: JsonObject = {
                    "objects": repaired.objects,
                    "put_back_bytes": repaired.new_bytes,
                }
                text = (
                    f"{count(repaired.objects, 'object')} as recorded, "
                    f"{count(repaired.new_bytes, 'byte')} put back"
                )
            except EngineError as error:
                failed += 1
                result, text = {"error": str(error)}, f"not repaired: {error}"
                if is_away(error) and not all(does_answer(copies=which) for which in (False, True)):
                    # Every other backup would wait for all retries, too.
                    left = count(len(snapshots) - number, "backup")
                    stopped = f" Stopped because a storage cannot be used: {left} not checked."
            if options["json"]:
                self.write_json({"snapshot_id": str(snapshot.pk), **result})
            else:
                self.stdout.write(f"snapshot {snapshot.pk}: {text}")
            if stopped:
                break
        if failed:
            raise CommandError(
                f"{failed} of {count(len(snapshots), 'backup')} could not be repaired.{stopped}"
            )
        if not options["json"]:
            self.stdout.write(f"{count(len(snapshots), 'backup')} checked")


def _chosen(options: JsonObject) -> list[Snapshot]:
    if options["snapshot"]:
        return [stored_snapshot(options["snapshot"])]
    if options["needed"]:
        return needing_repair()
    rows = Snapshot.objects.completed().filter(copy__state="copied").defer("table_rows")
    return list(rows.order_by("taken_at"))


def _record_start(options: JsonObject, backups: int) -> None:
    """Record the start: a killed command has put objects back, without an end."""
    option = next((f"--{name}" for name in ("needed", "all") if options[name]), "")
    record(
        action="snapshot.repair_started",
        actor=None,
        subject=str(options["snapshot"] or ""),
        details={"option": option, "backups": backups},
    )
