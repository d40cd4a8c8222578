"""Bring the databases of all projects up to this version's schema."""

from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import first_line
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.provisioning import drop_older_templates
from backups_portal.projectdb.schema_upgrade import has_open_large_objects, upgrade_database
from backups_portal.projects.database_dsn import admin_dsn, server_url, who_holds
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.project_creation import installation
from backups_portal.ui.formats import count

log = get_logger(__name__)

# An upgrade that a lock blocks gives up soon, and is retried after the other projects.
ROUNDS = 3


class Command(OperatorCommand):
    """Run it in every update, after `migrate`; projects can be used meanwhile."""

    help = "Bring the projects' databases up to this version. Run it after migrate."

    def handle(self, *args: object, **options: Any) -> None:
        outcome = Outcome()
        projects = list(Project.objects.with_database().select_related("server"))
        for _ in range(ROUNDS):
            projects = [project for project in projects if _is_locked(project, outcome)]
        for project in projects:
            outcome.failed[project.slug] = (
                f"its tables are locked. {who_holds(project, of_rows=True)}"
            )
        for server in DatabaseServer.objects.order_by("name"):
            _tidy(server)
        if options["json"]:
            self.write_json(asdict(outcome))
        else:
            self._report(outcome.added)
            self._warn(outcome.open_large_objects)
        if outcome.failed:
            lines = (f"{slug}: {reason}" for slug, reason in outcome.failed.items())
            raise CommandError("These databases were not upgraded:\n" + "\n".join(lines))

    def _report(self, added: dict[str, list[str]]) -> None:
        for slug, names in added.items():
            if names:
                self.stdout.write(f"{slug}: added {', '.join(names)}")
        self.stdout.write(f"Up to date: {count(len(added), 'database')}.")

    def _warn(self, open_to: list[str]) -> None:
        if open_to:
            self.stdout.write(
                f"Large objects, which no backup holds, can be made in "
                f"{count(len(open_to), 'database')} "
                f"({', '.join(open_to)}): a superuser closes them with large_objects.sql "
                "(.github/docs/operating.md)."
            )


@dataclass
class Outcome:
    """The outcome by project slug; the fields are those of `--json`."""

    added: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    open_large_objects: list[str] = field(default_factory=list)


def _is_locked(project: Project, outcome: Outcome) -> bool:
    """Upgrade one database; return whether a lock blocked it."""
    try:
        with pgsession.connect(admin_dsn(project), autocommit=True) as inside:
            outcome.added[project.slug] = upgrade_database(inside, installation())
            if has_open_large_objects(inside):
                outcome.open_large_objects.append(project.slug)
    except psycopg.errors.LockNotAvailable:
        return True
    except psycopg.Error as error:
        outcome.failed[project.slug] = str(error).strip()
    return False


def _tidy(server: DatabaseServer) -> None:
    """Drop templates of older versions; the next upgrade retries failures."""
    try:
        for name in drop_older_templates(server_url(server), installation()):
            log.info("dropped the template of an older version: %s", name, server=server.name)
    except psycopg.Error as error:
        log.warning("could not look for older templates: %s", first_line(error), server=server.name)
