"""Write a device's records as CSV."""

from argparse import ArgumentParser
from typing import Any

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.projects.command_lookup import find_project, owner_of
from backups_portal.transfers.csv_files.csv_import_export import export_csv


class Command(OperatorCommand):
    """A command that streams records of any amount."""

    help = "Write the records of a device as CSV in TagoIO's format to standard output."
    has_json = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="PROJECT", help="the project's slug")
        parser.add_argument("device", metavar="DEVICE", help="the device's id")
        parser.add_argument("--owner", help="e-mail of an owner; needed if there are several")

    def handle(self, *args: object, **options: Any) -> None:
        project = find_project(options["project"])
        owner = owner_of([project], options["owner"])
        for part in export_csv(project, options["device"], actor=owner):
            self.stdout.write(part, ending="")
