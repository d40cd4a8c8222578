"""`manage.py evidence PROJECT`: write the signed evidence of a period."""

from argparse import ArgumentParser
from functools import partial
from typing import Any

import orjson
from django.utils import timezone

from backups_portal.audit.operator_command import OperatorCommand, system_user
from backups_portal.audit.output_file import add_output_argument, write_new_file
from backups_portal.audit.time_arguments import day_argument
from backups_portal.evidence.evidence_requests import make_file, owner_ids, period_of
from backups_portal.evidence.evidence_scope import Scope
from backups_portal.projects.command_lookup import find_project
from backups_portal.ui.formats import count


class Command(OperatorCommand):
    """Writes the same file that owners get from the project's page."""

    help = (
        "Write the backup evidence of a project as signed JSON: what was backed up, proven, "
        "restored and deleted in a period, and who had access. Without days: the current quarter."
    )
    has_json = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", metavar="PROJECT", help="the project's slug")
        day = partial(parser.add_argument, type=day_argument, metavar="DAY")
        day("--from", dest="first", help="first day, such as 2026-10-01")
        day("--to", dest="last", help="last day; both are days in the project's time zone")
        add_output_argument(parser)

    def handle(self, *args: object, **options: Any) -> None:
        project, now = find_project(options["project"]), timezone.now()
        period = period_of(project, options["first"], options["last"], now=now)
        scope = Scope(project, period, now, owner_ids(project))
        file = make_file(scope, actor=None, made_by=f"operator ({system_user()})")
        content = orjson.dumps(file.members, option=orjson.OPT_APPEND_NEWLINE)
        if options["output"] is None:
            self.stdout.write(content.decode(), ending="")
            return
        write_new_file(options["output"], [content])
        self.stdout.write(
            f"{scope.title}: {count(len(content), 'byte')} in {options['output']}, signed by the "
            f"key with SHA-256 {file.members['signed_by']}"
        )
