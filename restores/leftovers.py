"""Databases that a restore or a proof made and could not drop: dropped by a later tick."""

import logging
from datetime import datetime

from django.db.models import Q, QuerySet

from restores.building import drop_build
from restores.models import Build, Proof, Restore
from restores.warm import unwanted

log = logging.getLogger(__name__)

AT_A_TIME = 20


def drop_leftovers(now: datetime) -> list[str]:
    """Drop databases of ended work that nobody needs; the names of those that are gone now."""
    unwanted().update(is_kept=False)
    return [name for rows in _leftovers(now) for name in _drop(rows)]


def has_leftovers(now: datetime) -> bool:
    """Whether there are any."""
    return any(rows.exists() for rows in [unwanted(), *_leftovers(now)])


def _leftovers(now: datetime) -> list[QuerySet[Build]]:
    # A row whose lease still lasts is left alone: somebody is at its database.
    idle = Q(lease_until=None) | Q(lease_until__lt=now)
    proofs = Proof.objects.exclude(state__in=Proof.UNFINISHED).filter(is_kept=False)
    restores = Restore.objects.filter(state=Restore.State.FAILED)
    return [rows.filter(idle).exclude(prefix="") for rows in (proofs, restores)]


def _drop(rows: QuerySet[Build]) -> list[str]:
    dropped = []
    for row in rows.select_related("server")[:AT_A_TIME]:
        if drop_build(row.server, row.prefix):
            # The prefix again: a retry of the restore may have begun meanwhile.
            same = type(row)._default_manager.filter(pk=row.pk, prefix=row.prefix)
            same.update(prefix="", database="", server=None)
            log.warning("dropped what was left behind database=%s", row.database)
            dropped.append(row.database)
    return dropped
