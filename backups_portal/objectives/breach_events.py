"""Breaches in the audit log, which notifications follow."""

from datetime import datetime

from backups_portal.audit.recorder import record
from backups_portal.objectives.models import Breach, Objective
from backups_portal.ui import formats

MISSED, MET = "objective.missed", "objective.met"


def record_missed(objective: Objective, breach: Breach) -> None:
    """Record that an objective is no longer met."""
    began = moment_of(breach.began_at, objective)
    if objective.kind == Objective.Kind.POINT:
        reason = (
            f"Since {began}, the newest good backup is older than "
            f"{formats.count(objective.target, 'hour')}, which is how much data may be lost at "
            "most. What was written since that backup is not backed up."
        )
    else:
        reason = (
            f"Restoring took {formats.duration(breach.worst)} when it was measured, and you want "
            f"to be back within {formats.count(objective.target, 'minute')}. Missed since {began}."
        )
    _record(MISSED, objective, breach, reason)


def record_met(objective: Objective, breach: Breach) -> None:
    """Record that an objective is met again."""
    ended = breach.ended_at or breach.began_at
    times = f"Missed from {moment_of(breach.began_at, objective)} to {moment_of(ended, objective)}"
    if objective.kind == Objective.Kind.POINT:
        reason = (
            f"A newer good backup is stored. {times}: the newest one was up to "
            f"{formats.duration(breach.worst)} old."
        )
    else:
        reason = (
            f"Restoring is quick enough again. {times}: it took up to "
            f"{formats.duration(breach.worst)}."
        )
    _record(MET, objective, breach, reason)


def moment_of(moment: datetime, objective: Objective) -> str:
    """Write a moment in the time zone of the objective's project."""
    local = formats.local(moment, objective.project.main_database.backup_time_zone)
    return f"{formats.day_and_time(local)} {formats.zone_label(local)}"


def _record(action: str, objective: Objective, breach: Breach, reason: str) -> None:
    record(
        action=action,
        actor=None,
        project=objective.project,
        subject=f"{objective.get_kind_display()}: {objective.target_name}",
        details={
            "objective": objective.kind,
            "wanted": objective.target,
            "breach_began_at": breach.began_at.isoformat(),
            "reason": reason,
        },
    )
