"""Restore a snapshot into a new project, from a terminal."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand, continued_by_workers
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.projects.command_lookup import owner_of
from backups_portal.projects.models import DatabaseServer
from backups_portal.ui.formats import count
from backups_portal.ui.terminal_progress import progress_bar
from restores.models import Restore
from restores.restore_requests import NewProject, request_restore
from restores.restore_run import run_restore
from snapshots.models import Snapshot


class Command(OperatorCommand):
    """Runs the restore in this process and prints the outcome."""

    help = "Create a new project from a snapshot. It costs money: see --accept-charges."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("snapshot", type=uuid.UUID, metavar="ID", help="the snapshot's id")
        parser.add_argument("--name", required=True, help="the new project's name")
        parser.add_argument(
            "--owner", help="e-mail of the owner who pays; needed if there are several"
        )
        parser.add_argument(
            "--accept-charges", action="store_true", help="agree to the charges of a new project"
        )
        parser.add_argument("--server", help="the database server that takes the new project")

    def handle(self, *args: object, **options: Any) -> None:
        snapshot = Snapshot.objects.select_related("project").filter(pk=options["snapshot"]).first()
        if snapshot is None:
            raise CommandError(f"There is no snapshot {options['snapshot']}.")
        if not options["accept_charges"]:
            quote = current_quote()
            raise CommandError(
                f"A new project costs {quote.creation_fee} {quote.currency} once and "
                f"{quote.running_fee_per_hour} {quote.currency} an hour. "
                "Repeat the command with --accept-charges to agree."
            )
        restore = request_restore(
            snapshot=snapshot,
            actor=owner_of([snapshot.project], options["owner"]),
            wanted=NewProject(
                name=options["name"],
                accepted_charges=True,
                server=_server(options["server"]),
            ),
        )
        with (
            continued_by_workers(f"Restore {restore.pk}, which is charged when it succeeds,"),
            progress_bar(self.stderr, silent=options["json"]) as on_progress,
        ):
            run_restore(restore.pk, on_progress)
        self._report(Restore.objects.select_related("project").get(pk=restore.pk), options["json"])

    def _report(self, restore: Restore, as_json: bool) -> None:
        if restore.state in Restore.UNFINISHED:
            raise CommandError(
                f"Restore {restore.pk} continues by itself, and is charged when it succeeds. "
                f"{restore.reason}".strip()
            )
        if restore.project is None:
            raise CommandError(restore.reason)
        if as_json:
            result = {
                "restore": str(restore.pk),
                "project": str(restore.project.pk),
                "slug": restore.project.slug,
                "table_rows": restore.report["table_rows"],
            }
            self.write_json(result)
            return
        rows = sum(restore.report["table_rows"].values())
        self.stdout.write(
            f"Restored {count(rows, 'row')} into the new project “{restore.project.name}” "
            f"({restore.project.slug}); every row was compared with the snapshot."
        )


def _server(name: str | None) -> DatabaseServer | None:
    if not name:
        return None
    server = DatabaseServer.objects.filter(name=name).first()
    if server is None:
        raise CommandError(f"There is no database server “{name}”; see `database_servers list`.")
    return server
