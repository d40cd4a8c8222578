"""`manage.py run_schedule`: the tick that beat runs once a minute."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from kombu.exceptions import OperationalError

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.time_arguments import moment_argument
from backups_portal.lib.db_time import database_now
from snapshots.tasks import run_schedule


class Command(OperatorCommand):
    """Queue the backups that are due, and send waiting work to the workers."""

    help = "Queue the backups that are due and send them to the workers, as beat does."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--at",
            type=moment_argument,
            metavar="TIME",
            help="act as if it were this time (ISO 8601); a later one takes that day's backups now",
        )

    def handle(self, *args: object, **options: Any) -> None:
        real = database_now()
        now = options["at"] or real
        if now > real:
            self.stderr.write(
                f"{now.isoformat(timespec='seconds')} is in the future: backups queued now hold "
                "today's data, but count as that day's, which gets no others."
            )
        try:
            ticked = run_schedule(now)
        except OperationalError as error:
            raise CommandError(
                f"The message broker cannot be reached: {error}. What is queued stays queued; "
                "the next tick sends it."
            ) from error
        if options["json"]:
            self.write_json(
                {
                    "now": now.isoformat(),
                    "queued": [str(item) for item in ticked.queued],
                    "sent_again": [str(item) for item in ticked.sent_again],
                }
            )
            return
        for snapshot_id in ticked.queued:
            self.stdout.write(f"queued snapshot {snapshot_id}")
        for snapshot_id in ticked.sent_again:
            self.stdout.write(f"sent again snapshot {snapshot_id}")
        self.stdout.write(
            f"{now.isoformat(timespec='seconds')}: {len(ticked.queued)} queued, "
            f"{len(ticked.sent_again)} sent again"
        )
