"""Move data from a project into another, from a terminal."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError
from django.http import Http404

from backups_portal.audit.operator_command import OperatorCommand, continued_by_workers
from backups_portal.audit.time_arguments import moment_argument
from backups_portal.lib.json_types import JsonObject
from backups_portal.projects.command_lookup import find_project, owner_of
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move.device_settings import KIND as SETTINGS
from backups_portal.transfers.pages.shown_transfers import transfers_for
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.plan.selection import KINDS, Choice, DeviceSettings, Rule, Unmatched
from backups_portal.transfers.report_csv import report_csv
from backups_portal.transfers.transfer_report import describe_plan, transfer_json
from backups_portal.transfers.transfer_requests import (
    find_transfer,
    request_transfer,
    request_undo,
    start_move,
)
from backups_portal.transfers.transfer_run import run_transfer
from backups_portal.ui.formats import count
from backups_portal.ui.terminal_progress import progress_bar
from snapshots.engine.run_progress import Progress


class Command(OperatorCommand):
    """The page “Move data” as a command: dry run, move, report, undo."""

    help = (
        "Move data from project SOURCE into project TARGET; one person must own both. Starts with "
        "a dry run; --yes continues with the move."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("source", metavar="SOURCE", help="the slug of the project to move data from")
        add("target", metavar="TARGET", help="the slug of the project to move data into")
        add("--owner", help="e-mail of the owner of both; needed if there are several")
        add("--device", action="append", metavar="ID", help="only this device; repeatable")
        add("--no-devices", action="store_true", help="only what --kind names")
        add("--variable", action="append", metavar="NAME", help="only this variable; repeatable")
        add("--since", type=moment_argument, metavar="TIME", help="from this time on (ISO 8601)")
        add("--until", type=moment_argument, metavar="TIME", help="before this time")
        add("--kind", action="append", choices=KINDS, default=[], help="also these resources")
        add("--rule", choices=[str(rule) for rule in Rule], default=str(Rule.SKIP),
            help="if a record exists with a different value (default: skip)")  # fmt: skip
        add("--unmatched", choices=[str(way) for way in Unmatched], default=str(Unmatched.CREATE),
            help="if a device does not exist in TARGET (default: create)")  # fmt: skip
        add("--device-settings", choices=[str(way) for way in DeviceSettings],
            default=str(DeviceSettings.KEEP),
            help="tags and parameters of devices that TARGET has: keep them, bring_back those of "
            "SOURCE, or only these and no records (default: keep)")  # fmt: skip
        add("--tag", default="", metavar="KEY", help="also match devices by this tag")
        add("--yes", action="store_true", help="move after the dry run")
        add("--continue", dest="resume", type=uuid.UUID, metavar="ID",
            help="continue a transfer that stopped")  # fmt: skip
        add("--undo", type=uuid.UUID, metavar="ID", help="undo a transfer")
        add("--csv", action="store_true", help="print the report as CSV")

    def handle(self, *args: object, **options: Any) -> None:
        try:
            transfer = self._do(options)
        except Http404 as error:
            raise CommandError("There is no such project or transfer of this owner.") from error
        except PermissionDenied as error:
            raise CommandError(str(error)) from error
        self._print(transfer, options)

    def _do(self, options: JsonObject) -> Transfer:
        source, target = find_project(options["source"]), find_project(options["target"])
        actor = owner_of([source, target], options["owner"])
        if known := options["undo"] or options["resume"]:
            transfer = _between(find_transfer(actor, known), source, target)
            if options["undo"]:
                request_undo(transfer=transfer, actor=actor)
            else:
                start_move(transfer=transfer, actor=actor)
            return self._run(transfer, options)
        transfer = request_transfer(
            source=source,
            target=target,
            actor=actor,
            choice=_choice(options),
            request_key=uuid.uuid4(),
        )
        transfer = self._run(transfer, options)
        if not (options["json"] or options["csv"]):
            self.stdout.write("\n".join(describe_plan(Plan.from_json(transfer.plan))))
        if options["yes"]:
            start_move(transfer=transfer, actor=actor)
            transfer = self._run(transfer, options)
        return transfer

    def _print(self, transfer: Transfer, options: JsonObject) -> None:
        transfers_for(transfer.requested_by, [transfer])
        if options["json"]:
            self.write_json(transfer_json(transfer))
        elif options["csv"]:
            self.stdout.write("".join(report_csv(transfer)), ending="")
        elif transfer.state == Transfer.State.READY:
            self.stdout.write(f"Nothing has been moved yet. To move: --continue {transfer.pk}")
        elif transfer.state == Transfer.State.UNDONE:
            undone = transfer.report["undone"]
            self.stdout.write(
                f"Undone: {count(undone['removed'], 'record')} and"
                f" {count(undone['resources'], 'resource')} removed,"
                f" {count(undone['restored'], 'replaced record')} put back."
                f" {count(undone['left'], 'record')} changed since then and stayed."
                f" {_settings_sentence(undone, 'put back')}".rstrip()
            )
            for item in undone["kept"]:
                self.stdout.write(_kept_sentence(item))
        else:
            summary = transfer.summary
            equal = "Both sides agree." if summary.get("is_equal") else "The sides differ."
            moved = f"Moved {summary['stored']:,} of {count(summary['chosen'], 'record')} in"
            parts = (
                f"{moved} {summary['seconds']} s." if transfer.chosen().moves_records else "",
                _settings_sentence(summary, "brought back"),
                equal,
            )
            self.stdout.write(
                f"{' '.join(filter(None, parts))}\n"
                f"Undo it until {transfer.ledger_until:%F} with --undo {transfer.pk}."
            )
        if transfer.work == Transfer.Work.MOVE and transfer.summary.get("is_equal") is False:
            raise CommandError("The target does not match what was moved: see the report.")

    def _run(self, transfer: Transfer, options: JsonObject) -> Transfer:
        with (
            continued_by_workers(f"Transfer {transfer.pk}"),
            progress_bar(self.stderr, silent=options["json"]) as show,
        ):
            run_transfer(
                transfer.pk,
                lambda done, total: show(Progress(done, total, transfer.get_work_display())),
            )
        return _ended(transfer)


def _ended(transfer: Transfer) -> Transfer:
    done = Transfer.objects.select_related("source", "target").get(pk=transfer.pk)
    if done.state in Transfer.UNFINISHED:
        raise CommandError(
            f"{done.reason or 'A worker is already on it.'} Transfer {done.pk} continues; its page "
            "shows how far it is."
        )
    if done.state in (Transfer.State.FAILED, Transfer.State.CANCELLED, Transfer.State.PAUSED):
        raise CommandError(done.reason or f"The transfer was {done.state}.")
    return done


def _between(transfer: Transfer, source: Project, target: Project) -> Transfer:
    if (transfer.source, transfer.target) != (source, target):
        raise CommandError(f"Transfer {transfer.pk} is not between these two projects.")
    return transfer


def _settings_sentence(part: JsonObject, verb: str) -> str:
    devices = part.get("device_settings")
    return f"Tags and parameters of {count(devices, 'device')} {verb}." if devices else ""


def _kept_sentence(item: JsonObject) -> str:
    what, stay = f"{item['kind']} {item['id']}", "stays"
    if item["kind"] == SETTINGS:
        what, stay = f"Tags and parameters of {item['name'] or 'device'} {item['id']}", "stay"
    return f"{what} {stay}: {item['reason']}"


def _choice(options: JsonObject) -> Choice:
    devices = () if options["no_devices"] else options["device"]
    return Choice(
        devices=None if devices is None else tuple(devices),
        variables=tuple(options["variable"]) if options["variable"] else None,
        since=options["since"],
        until=options["until"],
        kinds=tuple(options["kind"]),
        rule=Rule(options["rule"]),
        unmatched=Unmatched(options["unmatched"]),
        tag=options["tag"],
        device_settings=DeviceSettings(options["device_settings"]),
    )
