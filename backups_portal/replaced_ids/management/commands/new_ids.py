"""The command that looks up the replacements of old ids and tokens."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.projects.command_lookup import find_project
from backups_portal.projects.models import Project
from backups_portal.replaced_ids.id_lookup import find_new
from backups_portal.replaced_ids.token_list import ListedToken


class Command(OperatorCommand):
    """Works on a project that a restore made, or that a transfer moved data into."""

    help = "Show which variable id or token of a project replaced an old one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="PROJECT", help="the project's slug")
        parser.add_argument("old", metavar="ID", help="a variable's old id, or an old token")

    def handle(self, *args: object, **options: Any) -> None:
        project, old = find_project(options["project"]), options["old"]
        if project.state == Project.State.REMOVED:
            raise CommandError(f"{project.slug} was removed, with its database.")
        tokens, variable = find_new(project, old)
        if not tokens and variable is None:
            raise CommandError(f"Nothing in {project.slug} replaces this id or token.")
        if options["json"]:
            self.write_json({"variable": variable, "tokens": [_as_json(token) for token in tokens]})
        elif variable:
            self.stdout.write(variable)
        else:
            for one in tokens:
                self.stdout.write(f"{one.kind} {one.resource_id} {one.name}: …{one.new_last_four}")


def _as_json(token: ListedToken) -> dict[str, str]:
    same = ("kind", "name", "old_last_four", "new_last_four")
    return {"resource": token.resource_id, **{name: getattr(token, name) for name in same}}
