"""Problems of a project's backups that need its owners' attention on the overview."""

from collections.abc import Sequence
from typing import NamedTuple

from backups_portal.objectives.standings import MISSED, Standing
from backups_portal.ui import formats
from restores.backup_list import Row
from snapshots.models import Snapshot
from snapshots.reports.recovery_readiness import Readiness

# A line has room for this many days.
MAX_NAMED = 3


class Attention(NamedTuple):
    """A line: what is wrong, the details, and where to read more.

    Attributes:
        snapshot: The backup that it concerns, if any.
        page: The name of the page to link to, without a backup.
    """

    title: str
    text: str
    snapshot: Snapshot | None = None
    page: str = "backups"


def attention_of(
    rows: Sequence[Row], readiness: Readiness, standings: Sequence[Standing]
) -> list[Attention]:
    """List what needs attention, the most urgent first.

    Args:
        rows: The latest backups.
    """
    return [
        *_failed_proofs(rows),
        *_failed_checks(rows),
        *(_missed(one) for one in standings if one.state == MISSED),
        *_older_days(readiness),
        *_small(rows),
    ]


def _missed(standing: Standing) -> Attention:
    figure = formats.duration(standing.figure or standing.objective.limit)
    now = f"up to {figure} of data could be lost" if standing.is_of_point else f"it took {figure}"
    return Attention(
        f"{standing.objective.get_kind_display()} objective missed",
        f"{standing.objective.target_name.capitalize()} wanted; {now}.",
        page="objectives",
    )


def _failed_proofs(rows: Sequence[Row]) -> list[Attention]:
    failed = [row.snapshot for row in rows if row.snapshot.verdict == Snapshot.Verdict.FAILED]
    return [
        Attention(f"The backup of {one.day_name} failed its proof", one.verdict_reason, one)
        for one in failed
    ]


def _failed_checks(rows: Sequence[Row]) -> list[Attention]:
    """Name the newest backup whose checks ran, unless all passed."""
    checked = next((row.snapshot for row in rows if row.snapshot.checks), None)
    if checked is None or checked.checks is None or checked.checks.is_clean:
        return []
    title = f"{checked.checks} in the backup of {checked.day_name}"
    return [Attention(title, "Its page says what was found.", checked)]


def _older_days(readiness: Readiness) -> list[Attention]:
    """Name bad days before newer backups.

    The overview already warns of later ones.
    """
    if readiness.strip is None:
        return []
    warned_of = {cell.day for cell in readiness.unprotected}
    days = [cell for cell in reversed(readiness.strip.bad) if cell.day not in warned_of]
    if not days:
        return []
    names = [f"{cell.name} {cell.kind}" for cell in days[:MAX_NAMED]]
    if more := len(days) - len(names):
        names.append(f"{more:,} more")
    retained = len(readiness.strip.cells)
    title = f"{len(days):,} of the last {retained:,} days {'has' if len(days) == 1 else 'have'}"
    return [Attention(f"{title} no good backup", ", ".join(names) + ".")]


def _small(rows: Sequence[Row]) -> list[Attention]:
    small = [row.snapshot for row in rows if row.snapshot.size_note]
    return [
        Attention(f"The backup of {one.day_name} is unusually small", one.size_note, one)
        for one in small
    ]
