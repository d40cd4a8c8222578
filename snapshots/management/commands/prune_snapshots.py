"""`manage.py prune_snapshots`: apply every project's retention now."""

from typing import Any

from django.core.management.base import CommandParser

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.lib.db_time import earlier_now
from backups_portal.ui.formats import count
from snapshots.engine.errors import StorageError
from snapshots.models import Snapshot
from snapshots.replication.copy_sweep import remove_all_copies
from snapshots.retention.expiry import Pruned, prune_each


def as_json(item: Pruned) -> dict[str, str]:
    """Return a removed or kept snapshot as plain values."""
    return {
        "snapshot": str(item.snapshot_id),
        "project": str(item.project_id),
        "project_name": item.project,
        "local_date": item.local_date.isoformat(),
        "reason": item.reason,
    }


class Command(OperatorCommand):
    """Remove snapshots that are past their retention period."""

    help = "Remove backups past their retention period, and say why the others stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only print what would be removed"
        )

    def handle(self, *args: object, **options: Any) -> None:
        dry_run: bool = options["dry_run"]
        removed: list[dict[str, str]] = []
        kept: list[dict[str, str]] = []
        for item in prune_each(earlier_now(), dry_run=dry_run):
            (removed if item.goes else kept).append(as_json(item))
            if not options["json"]:
                self._print(item, dry_run)
        left = Snapshot.objects.half_removed().count()
        if options["json"]:
            document = {"dry_run": dry_run, "removed": removed, "kept": kept}
            self.write_json({**document, "left_in_storage": left})
        else:
            verb = "would be removed" if dry_run else "removed"
            self.stdout.write(f"{len(removed)} {verb}, {len(kept)} kept past retention")
        if dry_run:
            return
        if left:
            self.stderr.write(
                f"Still in storage, until a later sweep: {count(left, 'removed backup')}. "
                "The log says why."
            )
        self._prune_copies()

    def _prune_copies(self) -> None:
        try:
            remove_all_copies()
        except StorageError as error:
            self.stderr.write(f"The copies are removed later: {error}")

    def _print(self, item: Pruned, dry_run: bool) -> None:
        verb = ("would remove" if dry_run else "removed") if item.goes else "kept"
        self.stdout.write(
            f"{verb} {item.snapshot_id} of {item.project} ({item.local_date}): {item.reason}"
        )
