"""Look up what became of old ids and tokens."""

import json
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError

from backups_portal.projects.connections import project_dsn
from backups_portal.transfers.lookup import find_variable, list_tokens
from backups_portal.transfers.operating import find_project


class Command(BaseCommand):
    """For the project that a restore made, or that a transfer moved data into."""

    help = "Says which variable id or token of a project took the place of an old one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="SLUG")
        parser.add_argument("old", metavar="ID|TOKEN")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        project, old = find_project(options["project"]), options["old"]
        with psycopg.connect(project_dsn(project)) as connection:
            tokens = list_tokens(connection, old=old)
        variable = None if tokens else find_variable(project, old)
        if not tokens and variable is None:
            raise CommandError(f"{project.slug} has nothing in the place of this id or token.")
        if options["json"]:
            result = {"variable": variable, "tokens": [vars(token) for token in tokens]}
            self.stdout.write(json.dumps(result))
        elif variable:
            self.stdout.write(variable)
        for token in [] if options["json"] else tokens:
            self.stdout.write(f"{token.kind} {token.resource} {token.name}: …{token.new_last_four}")
