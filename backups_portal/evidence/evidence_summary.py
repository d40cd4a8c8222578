"""The evidence of a period in a few sentences."""

from collections.abc import Sequence

from backups_portal.evidence.backup_days import Kind
from backups_portal.evidence.evidence_report import Report
from backups_portal.evidence.recovery_measurements import Measured
from backups_portal.ui import formats

# A sentence names up to this many causes, and counts the rest.
MAX_CAUSES = 3


def summary(report: Report) -> str:
    """Say how many days have a backup, and what happened on the others."""
    if not report.due:
        ending = "" if report.scope.is_over else " yet"
        return f"No backup was due in this period{ending}."
    counts = report.counts
    parts = [
        _with_backup(report.good, report.due),
        f"{counts.get(Kind.PROVEN, 0)} proven",
        *_missed(counts.get(Kind.MISSED, 0), report.causes),
    ]
    if failed := counts.get(Kind.FAILED_PROOF, 0):
        parts.append(f"{failed} failed {'its' if failed == 1 else 'their'} proof")
    return f"{'; '.join(parts)}."


def recovery_time_sentence(report: Report) -> str:
    """Say how long measured recoveries took."""
    found = report.recovery_time
    if found.median is None or found.worst is None:
        return "No recovery time was measured in this period."
    counted = [formats.count(found.count(by), by) for by in Measured if found.count(by)]
    return (
        f"Recovery took {formats.duration(found.median)} (median) and at worst "
        f"{formats.duration(found.worst.length)}, measured by {' and '.join(counted)}."
    )


def recovery_point_sentence(report: Report) -> str:
    """Say how much time passed between good backups."""
    found = report.recovery_point
    if found.median is None or found.worst is None:
        return "There was no good backup, so nothing could have been recovered."
    return (
        f"The time between two good backups was {formats.duration(found.median)} (median) and at "
        f"worst {formats.duration(found.worst.length)}."
    )


def _with_backup(good: int, due: int) -> str:
    if good == due:
        return f"All {due} days have a backup" if due > 1 else "The one day due has a backup"
    return f"{good} of {due} day{'s' if due > 1 else ''} {'have' if due > 1 else 'has'} a backup"


def _missed(missed: int, causes: Sequence[tuple[str, int]]) -> list[str]:
    if not missed:
        return []
    if len(causes) == 1:
        return [f"{missed} missed: {causes[0][0]}"]
    named = [f"{count} {cause}" for cause, count in causes[:MAX_CAUSES]]
    if more := sum(count for _, count in causes[MAX_CAUSES:]):
        named.append(f"{more} for other causes")
    return [f"{missed} missed: {', '.join(named)}"]
