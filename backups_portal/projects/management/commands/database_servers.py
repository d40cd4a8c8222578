"""List, register, change and check the servers that hold main databases."""

import sys
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import CommandError
from django.db import transaction

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.recorder import record
from backups_portal.lib.addresses import postgresql
from backups_portal.lib.addresses.url import AddressError
from backups_portal.projectdb.provisioning import prepare_server
from backups_portal.projects.errors import ServerRefusedError
from backups_portal.projects.models import DatabaseServer
from backups_portal.projects.project_creation import installation
from backups_portal.projects.servers import (
    check_address,
    check_servers,
    register_server,
    remove_server,
)
from backups_portal.ui.formats import count
from backups_portal.ui.visible_names import name_problem

NAME_LENGTH = 100
# The options that are numbers: the minimum of each, and the maximum of the column's type.
NUMBERS = {
    "weight": (1, 2**15 - 1),
    "max_projects": (0, 2**31 - 1),
    "max_snapshots": (0, 2**15 - 1),
}


class Command(OperatorCommand):
    """Decides where new projects go; it never moves existing databases."""

    help = "Manage the PostgreSQL servers that hold the projects' databases."
    has_json = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="what", required=True)
        listing = actions.add_parser("list", help="list all servers, and whether they respond")
        adding = actions.add_parser("add", help="add a server, or give a known one a new URL")
        changing = actions.add_parser("set", help="change a server's address or limits")
        removing = actions.add_parser(
            "remove", help="take a closed server that holds no project off the list"
        )
        for one in (adding, changing, removing):
            one.add_argument("name", metavar="NAME", help="the server's name")
        for one in (adding, changing):
            one.add_argument("--weight", type=int, help="its share of new projects (100)")
            one.add_argument(
                "--max-projects", type=int, help="the most databases it may hold; 0: no limit"
            )
            one.add_argument(
                "--max-snapshots", type=int, help="the most backups taken at once; 0: no limit"
            )
        adding.add_argument("--url", help="postgresql://…; read from standard input if left out")
        changing.add_argument(
            "--url",
            nargs="?",
            const="",
            help="the server's new address or password; read from standard input if it has no "
            "value. Nothing changes unless the projects' databases are found there",
        )
        state = changing.add_mutually_exclusive_group()
        state.add_argument("--open", action="store_true", help="accept new projects")
        state.add_argument("--close", action="store_true", help="accept no new projects")
        for one in (listing, adding, changing, removing):
            one.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: object, **options: Any) -> None:
        what, name = options["what"], options.get("name")
        if what == "list":
            check_servers()
        elif what == "remove":
            remove_server(options["name"])
            name = None
        else:
            self._change(options)
        rows = [_facts(server) for server in _servers(name)]
        if options["json"]:
            self.write_json(rows)
            return
        for row in rows:
            self.stdout.write(_line(row))
        if not rows:
            self.stdout.write("No server is registered: the first project registers that of")
            self.stdout.write("PROJECT_DATABASE_URL.")

    def _change(self, options: dict[str, Any]) -> None:
        name, fields = options["name"], _fields(options)
        is_known = DatabaseServer.objects.filter(name=name).exists()
        if not is_known and options["what"] == "set":
            raise CommandError(f"There is no database server “{name}”.")
        url = _address(options)
        if not fields and url is None:
            raise CommandError(f"Name what to change of “{name}”, such as --weight 50.")
        # All or nothing: the audit log must know every address that is in use.
        with transaction.atomic():
            if url is not None:
                register_server(name, url)
            if fields:
                DatabaseServer.objects.filter(name=name).update(**fields)
            record(
                action=f"server.{'changed' if is_known else 'added'}",
                actor=None,
                subject=name,
                details={**fields, **({} if url is None else {"address": "changed"})},
            )


def _address(options: dict[str, Any]) -> str | None:
    """Return the new address after checking it; None if it stays the same.

    Raises:
        CommandError: the address cannot be used.
    """
    name, url = options["name"], options["url"]
    if options["what"] == "add":
        _check_name(name)
    elif url is None:
        return None
    try:
        url = postgresql.normalized(url or sys.stdin.readline())
        if not url:
            # libpq would look for a server on this machine.
            raise CommandError(f"Give the server's address, such as {postgresql.EXAMPLE}.")
        check_address(name, url)
        prepare_server(url, installation())
    except ServerRefusedError as error:
        raise CommandError(f"{error} Nothing was changed.") from error
    except (psycopg.Error, AddressError) as error:
        raise CommandError(f"The server cannot take projects: {str(error).strip()}") from error
    return str(url)


def _check_name(name: str) -> None:
    if problem := name_problem(name):
        raise CommandError(problem)
    if name != name.strip() or len(name) > NAME_LENGTH:
        raise CommandError(
            f"A server's name has at most {NAME_LENGTH} characters, and does not begin or end with "
            "a space."
        )


def _fields(options: dict[str, Any]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, (least, most) in NUMBERS.items():
        if (number := options[name]) is None:
            continue
        if not least <= number <= most:
            option, lowest = name.replace("_", "-"), "1" if least else "0 (no limit)"
            raise CommandError(f"--{option} must be from {lowest} to {most}.")
        fields[name] = number or None
    if options.get("open") or options.get("close"):
        fields["is_open"] = bool(options["open"])
    return fields


def _servers(name: str | None) -> Any:
    servers = DatabaseServer.objects.with_load().order_by("name")
    return servers.filter(name=name) if name else servers


def _facts(server: Any) -> dict[str, object]:
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
    held, most = row["projects"], row["max_projects"]
    projects = f"{held} of {count(most, 'project')}" if most else count(held, "project")
    state = "open" if row["open"] else "closed to new projects"
    if row["unreachable_since"]:
        state += f", away since {row['unreachable_since']:%Y-%m-%d %H:%M} UTC: {row['trouble']}"
    return f"{row['name']}: {projects}, weight {row['weight']}, {state}"
