"""Bring the databases of all projects up to this version's schema."""

import json
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError

from backups_portal.projectdb.upgrading import upgrade_database
from backups_portal.projects.connections import admin_dsn
from backups_portal.projects.models import Project


class Command(BaseCommand):
    """Belongs to every update, after `migrate`; projects are used meanwhile."""

    help = "Bring the projects' databases up to this version. Run it after migrate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        added: dict[str, list[str]] = {}
        failed: dict[str, str] = {}
        for project in Project.objects.with_database().select_related("server"):
            try:
                with psycopg.connect(
                    admin_dsn(project), autocommit=True, connect_timeout=10
                ) as inside:
                    added[project.slug] = upgrade_database(inside)
            except psycopg.Error as error:
                failed[project.slug] = str(error).strip()
        if options["json"]:
            self.stdout.write(json.dumps({"added": added, "failed": failed}))
        else:
            self._tell(added)
        if failed:
            lines = (f"{slug}: {reason}" for slug, reason in failed.items())
            raise CommandError("These databases were not upgraded:\n" + "\n".join(lines))

    def _tell(self, added: dict[str, list[str]]) -> None:
        for slug, names in added.items():
            if names:
                self.stdout.write(f"{slug}: added {', '.join(names)}")
        self.stdout.write(f"{len(added)} databases are up to date.")
