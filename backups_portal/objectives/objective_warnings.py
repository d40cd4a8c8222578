"""Warnings about new objectives that a project cannot meet at present."""

from collections.abc import Mapping
from datetime import datetime

from backups_portal.objectives.feasibility import point_warning, time_warning
from backups_portal.objectives.objective_settings import LOSS, RESTORE
from backups_portal.objectives.objective_verdicts import last_measurement
from backups_portal.projects.models import MainDatabase


def warnings_of(
    database: MainDatabase, wanted: Mapping[str, int | None], now: datetime
) -> dict[str, str]:
    """Return a sentence, by name, for each objective that cannot be met."""
    found = {}
    if hours := wanted.get(LOSS):
        zone = database.backup_time_zone
        found[LOSS] = point_warning(hours, database.backup_time, zone, now)
    if minutes := wanted.get(RESTORE):
        last = last_measurement(database.pk)
        are_proofs_on = database.proof_policy != MainDatabase.ProofPolicy.OFF
        took = last.took if last else None
        found[RESTORE] = time_warning(minutes, took, are_proofs_on=are_proofs_on)
    return {name: warning for name, warning in found.items() if warning}
