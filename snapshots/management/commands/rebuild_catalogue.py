"""`manage.py rebuild_catalogue --owner EMAIL`: rebuild rows from storage."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.ui.formats import count
from backups_portal.ui.visible_names import seen_name
from snapshots.engine.errors import StorageError
from snapshots.integrity.catalogue_rebuild import RebuildingError, Rebuilt, rebuild_each
from snapshots.management.snapshot_arguments import chosen_storage


class Command(OperatorCommand):
    """Refill an empty control database; existing rows stay as they are."""

    help = (
        "Bring back every backup in storage that the portal does not know. Unknown projects come "
        "back shut down; restore a backup to run one again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--owner", required=True, help="e-mail of the account that gets unknown projects"
        )
        parser.add_argument(
            "--copy",
            # As earlier manuals have it.
            "--from-copy",
            action="store_true",
            help="read the second storage instead, if the first is lost",
        )

    def handle(self, *args: object, **options: Any) -> None:
        owner = Account.objects.named_owner(options["owner"])
        found: list[Rebuilt] = []
        try:
            storage = chosen_storage(is_copy=options["copy"])
            for rebuilt in rebuild_each(storage, owner, is_copy=options["copy"]):
                found.append(rebuilt)
                if not options["json"]:
                    self._print(rebuilt)
        except (StorageError, ProvisioningError, RebuildingError) as error:
            raise CommandError(str(error)) from error
        added, damaged = sum(item.added for item in found), sum(len(item.damaged) for item in found)
        if options["json"]:
            self.write_json([asdict(item) for item in found])
        else:
            self.stdout.write(
                f"{count(added, 'backup')} of {count(len(found), 'project')} brought back, "
                f"{damaged} cannot be read"
            )
        if damaged:
            raise CommandError(f"{count(damaged, 'manifest')} cannot be read.")

    def _print(self, rebuilt: Rebuilt) -> None:
        name = seen_name(rebuilt.name) if rebuilt.name else rebuilt.project_id
        state = "brought back, shut down" if rebuilt.is_new else "known"
        counts = f"{count(rebuilt.added, 'backup')} brought back, {rebuilt.known} known"
        self.stdout.write(f"{name} ({state}): {counts}")
        for key, reason in rebuilt.damaged.items():
            self.stderr.write(f"{key}: {reason}")
