"""Switch warm restores of a project on or off."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.projects.command_lookup import find_project
from backups_portal.projects.models import MainDatabase, Project
from restores.orphan_databases import drop_leftovers
from restores.warm_restores import switch_warm_restore


class Command(OperatorCommand):
    """For operators only: a kept database costs as much space as the main one."""

    help = (
        "Keep the database of a project's newest proof, so that a restore of that snapshot is "
        "ready at once; or drop it and keep none."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="PROJECT", help="the project's slug")
        parser.add_argument("switch", choices=["on", "off"])

    def handle(self, *args: object, **options: Any) -> None:
        project = find_project(options["project"])
        is_on = options["switch"] == "on"
        if is_on and project.state != Project.State.ACTIVE:
            raise CommandError(f"{project.slug} does not run, so no proof is made to be kept.")
        if is_on and project.main_database.proof_policy == MainDatabase.ProofPolicy.OFF:
            raise CommandError(
                f"Proof of backups is off for {project.slug}, so there is nothing to keep. Owners "
                "can turn it on on the Main Database page."
            )
        switch_warm_restore(project, on=is_on)
        dropped = [] if is_on else drop_leftovers(timezone.now())
        if options["json"]:
            result = {"project": project.slug, "warm_restore": is_on, "dropped": dropped}
            self.write_json(result)
            return
        self.stdout.write(
            f"{project.slug}: the database of the next proof is kept for a restore"
            if is_on
            else f"{project.slug}: no database is kept"
        )
        for name in dropped:
            self.stdout.write(f"dropped {name}")
