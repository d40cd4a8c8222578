"""Drop ledgers after their retention period."""

from datetime import datetime

import psycopg

from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer, TransferQuerySet
from backups_portal.transfers.move.database_pair import open_target
from backups_portal.transfers.move.ledger import forget

log = get_logger(__name__)
AT_A_TIME = 100


def forget_transfers(now: datetime) -> int:
    """Drop the ledgers that are due; return how many. Later runs retry."""
    done = 0
    due = (
        Transfer.objects.filter(has_ledger=True, ledger_until__lt=now)
        .exclude(state__in=Transfer.UNFINISHED)
        .select_related("target")
        .defer("plan", "report")
    )
    for transfer in due[:AT_A_TIME]:
        if transfer.target is None or _drop(transfer.target, transfer):
            row = Transfer.objects.filter(pk=transfer.pk)
            done += row.update(has_ledger=False, **_without_values(row))
    return done


def _without_values(row: TransferQuerySet) -> dict[str, JsonObject]:
    """Return plan and report without the values that only an undo needs."""
    plan, report = row.values_list("plan", "report").get()
    for settings in filter(None, (plan.get("settings"), report.get("device_settings"))):
        settings["lines"] = []
    return {"plan": plan, "report": report}


def _drop(target: Project, transfer: Transfer) -> bool:
    try:
        with open_target(target) as connection:
            forget(connection, str(transfer.pk))
    except psycopg.Error:
        log.warning("could not drop the ledger of transfer %s", transfer.pk, exc_info=True)
        return False
    return True
