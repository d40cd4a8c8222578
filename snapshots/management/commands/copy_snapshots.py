"""`manage.py copy_snapshots`: queue copies of all backups without one."""

from typing import Any

from celery.exceptions import OperationalError
from django.core.management.base import CommandError
from django.db.models import Count
from django.utils import timezone

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.leases import message_counts_for
from snapshots.models import SnapshotCopy
from snapshots.replication.copy_run import copies_overlooked, queue_copies
from snapshots.retention.expiry import project_batches
from snapshots.storages.configured_storages import has_copies
from snapshots.tasks import copy_snapshot


class Command(OperatorCommand):
    """Queue copies for the workers; failed ones are retried."""

    help = (
        "Queue a copy of every backup that the second storage lacks or whose copy failed. The "
        "workers do this by themselves within a day."
    )

    def handle(self, *args: object, **options: Any) -> None:
        if not has_copies():
            raise CommandError("SNAPSHOT_COPY_STORAGE is empty: backups are not copied.")
        now = timezone.now()
        queued = sum(queue_copies(ids, now, failed_before=now) for ids in project_batches())
        states = SnapshotCopy.objects.values_list("state").annotate(count=Count("pk"))
        found = {"queued": queued, "states": dict(states.order_by("state"))}
        try:
            # All waiting copies, whether or not it is their turn: the operator wants them now.
            for snapshot_id in copies_overlooked(now + message_counts_for()):
                copy_snapshot.delay(str(snapshot_id))
        except OperationalError as error:
            raise CommandError("The queue is not responding; the copies are sent later.") from error
        self._print(found, as_json=options["json"])

    def _print(self, found: JsonObject, *, as_json: bool) -> None:
        if as_json:
            self.write_json(found)
            return
        counts = ", ".join(f"{number} {state}" for state, number in found["states"].items())
        self.stdout.write(f"copies queued: {found['queued']}; in all: {counts or 'none'}")
