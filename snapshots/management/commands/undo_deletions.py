"""`manage.py undo_deletions --since TIME`: recover backups."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.recorder import record
from backups_portal.audit.time_arguments import moment_argument
from snapshots.engine.errors import StorageError
from snapshots.engine.storage import Storage
from snapshots.management.snapshot_arguments import chosen_storage
from snapshots.object_lock.deletion_undo import find_changed, undo


class Command(OperatorCommand):
    """Bring back old versions that a bucket with object lock still has."""

    help = (
        "List the objects in storage that were deleted or overwritten since a given time. With "
        "--yes, bring their versions of that time back; nothing is deleted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            type=moment_argument,
            required=True,
            metavar="TIME",
            help="a time before that happened, such as 2026-11-25T03:00Z",
        )
        parser.add_argument(
            "--copy", action="store_true", help="look in the second storage instead"
        )
        parser.add_argument("--yes", action="store_true", help="bring them back")

    def handle(self, *args: object, **options: Any) -> None:
        counts, since = {"deleted": 0, "overwritten": 0}, options["since"].isoformat()
        storage = None
        try:
            storage = chosen_storage(is_copy=options["copy"])
            if options["yes"]:
                # A command killed later has brought objects back, but logs no end.
                _record("storage.undo_started", storage, since=since)
            for changed in find_changed(storage, options["since"]):
                what = "deleted" if changed.is_deleted else "overwritten"
                if options["yes"]:
                    undo(storage, changed)
                counts[what] += 1
                if not options["json"]:
                    self.stdout.write(f"{what}: {changed.key}")
        except StorageError as error:
            raise CommandError(str(error)) from error
        finally:
            if storage and options["yes"] and any(counts.values()):
                _record("storage.deletions_undone", storage, **counts, since=since)
        if options["json"]:
            self.write_json({**counts, "brought_back": options["yes"]})
            return
        end = "brought back" if options["yes"] else "can be brought back with --yes"
        self.stdout.write(
            f"{counts['deleted']} deleted, {counts['overwritten']} overwritten; {end}"
        )


def _record(action: str, storage: Storage, **details: object) -> None:
    record(action=action, actor=None, subject=storage.name, details=details)
