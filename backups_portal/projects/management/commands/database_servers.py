"""List, register, change and look at the PostgreSQL servers that hold main databases."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count

from backups_portal.audit.services import record
from backups_portal.projectdb.provisioning import prepare_server
from backups_portal.projects.models import DatabaseServer
from backups_portal.projects.servers import check_servers, register_server


class Command(BaseCommand):
    """What a server holds is never moved by it: it says only where new projects go."""

    help = "The PostgreSQL servers that hold the projects' databases."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="what", required=True)
        listing = actions.add_parser("list", help="all servers, and whether they answer now")
        adding = actions.add_parser(
            "add", help="let a server take projects, or give a known one a new URL"
        )
        changing = actions.add_parser("set", help="change what a server takes")
        for one in (adding, changing):
            one.add_argument("name", help="the server's name here")
            one.add_argument("--weight", type=int, help="its share of new projects (100)")
            one.add_argument(
                "--max-projects", type=int, help="how many databases it takes; 0: any number"
            )
            one.add_argument(
                "--max-snapshots", type=int, help="how many are taken at one time; 0: any number"
            )
        adding.add_argument(
            "--url", help="postgresql://…; read from standard input when it is not given"
        )
        state = changing.add_mutually_exclusive_group()
        state.add_argument("--open", action="store_true", help="it takes new projects")
        state.add_argument("--close", action="store_true", help="it takes no new projects")
        for one in (listing, adding, changing):
            one.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "list":
            check_servers()
        else:
            self._change(options)
        rows = [_facts(server) for server in _servers(options.get("name"))]
        if options["json"]:
            self.stdout.write(json.dumps(rows, default=str))
            return
        for row in rows:
            self.stdout.write(_line(row))
        if not rows:
            self.stdout.write("No server is registered: the first project registers that of")
            self.stdout.write("PROJECT_DATABASE_URL.")

    def _change(self, options: dict[str, Any]) -> None:
        if options["what"] == "add":
            _add(options["name"], options["url"] or sys.stdin.readline().strip())
        fields = _fields(options)
        changed = DatabaseServer.objects.filter(name=options["name"])
        if not (changed.update(**fields) if fields else changed.exists()):
            raise CommandError(f"There is no database server “{options['name']}”.")
        record(
            action=f"server.{'added' if options['what'] == 'add' else 'changed'}",
            actor=None,
            subject=options["name"],
            details=fields,
        )


def _add(name: str, url: str) -> None:
    try:
        prepare_server(url)
    except psycopg.Error as error:
        raise CommandError(f"The server does not take projects: {str(error).strip()}") from error
    register_server(name, url)


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if (weight := options["weight"]) is not None:
        if not 1 <= weight <= 32767:
            raise CommandError("A weight is 1 to 32767.")
        fields["weight"] = weight
    if (most := options["max_projects"]) is not None:
        if most < 0:
            raise CommandError("A server takes 0 (any number) or more projects.")
        fields["max_projects"] = most or None
    if (most := options["max_snapshots"]) is not None:
        if not 0 <= most <= 32767:
            raise CommandError("From a server 0 (any number) to 32767 snapshots are taken at once.")
        fields["max_snapshots"] = most or None
    if options.get("open") or options.get("close"):
        fields["is_open"] = bool(options["open"])
    return fields


def _servers(name: str | None) -> Any:
    servers = DatabaseServer.objects.annotate(held=Count("projects")).order_by("name")
    return servers.filter(name=name) if name else servers


def _facts(server: Any) -> dict[str, Any]:
    return {
        "name": server.name,
        "projects": server.held,
        "max_projects": server.max_projects,
        "max_snapshots": server.max_snapshots,
        "weight": server.weight,
        "open": server.is_open,
        "unreachable_since": server.unreachable_since,
        "trouble": server.trouble,
    }


def _line(row: dict[str, Any]) -> str:
    limit = f" of {row['max_projects']}" if row["max_projects"] else ""
    state = "open" if row["open"] else "closed to new projects"
    if row["unreachable_since"]:
        state += f", away since {row['unreachable_since']:%Y-%m-%d %H:%M} UTC: {row['trouble']}"
    return f"{row['name']}: {row['projects']}{limit} projects, weight {row['weight']}, {state}"
