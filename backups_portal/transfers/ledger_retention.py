"""Drop ledgers after their retention period."""

from datetime import datetime

import psycopg

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
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
            done += Transfer.objects.filter(pk=transfer.pk).update(has_ledger=False)
    return done


def _drop(target: Project, transfer: Transfer) -> bool:
    try:
        with open_target(target) as connection:
            forget(connection, str(transfer.pk))
    except psycopg.Error:
        log.warning("could not drop the ledger of transfer %s", transfer.pk, exc_info=True)
        return False
    return True
