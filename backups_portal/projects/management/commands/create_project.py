"""Create a project with an empty main database and a daily schedule."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.projects.due_times import next_run, parse_time, parse_zone
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.project_creation import BackupSettings, create_project


class Command(OperatorCommand):
    """Creates a project and plans its first backup."""

    help = "Create a project. It is charged to its owner."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the project's name")
        parser.add_argument("--owner", required=True, help="the owner's e-mail")
        parser.add_argument(
            "--time", default="03:00", help="daily backup schedule, HH:MM (%(default)s)"
        )
        parser.add_argument("--time-zone", default="UTC", help="its IANA time zone (%(default)s)")
        parser.add_argument(
            "--retention",
            type=int,
            default=settings.DEFAULT_RETENTION_DAYS,
            help="backup retention period in days, 1 to 365 (%(default)s)",
        )
        parser.add_argument(
            "--server",
            default="",
            help="the database server that takes it; else one with room",
        )

    def handle(self, *args: object, **options: Any) -> None:
        owner = Account.objects.named_owner(options["owner"])
        if not 1 <= options["retention"] <= 365:
            raise CommandError("The backup retention period is 1 to 365 days.")
        try:
            at, zone = parse_time(options["time"]), parse_zone(options["time_zone"])
            plan = BackupSettings(
                at, zone, options["retention"], next_run(timezone.now(), at, zone)
            )
            project = create_project(
                name=options["name"], owner=owner, settings=plan, server_name=options["server"]
            )
        except (NameRefusedError, ProvisioningError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.write_json({"id": str(project.pk), "slug": project.slug, "name": project.name})
        else:
            self.stdout.write(
                f"Created project “{project.name}” ({project.slug}); its first backup runs at "
                f"{plan.first_run:%Y-%m-%d %H:%M} UTC."
            )
