"""Unfinished restores by project, for pages that do not show the backups."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from backups_portal.accounts.models import Account
from backups_portal.projects.redaction import ANOTHER
from restores.models import Restore

Step = Restore.Step
# Steps that count their rows, and the verb that is shown during each.
COUNTED = {Step.LOADING: "Restoring into", Step.PROVING: "Comparing with its backup:"}
OTHERWISE = "Restoring into"
SHOWN = ("name", "requested_by", "step", "rows_done", "rows_total", "snapshot__project")


@dataclass(frozen=True)
class RestoreUnderWay:
    """A restore that has not ended.

    Attributes:
        name: The new project's name if the restore is the reader's own, else a placeholder.
        verb: What is being done; the name follows it.
        percent: The progress of the current step; None if it does not count rows.
    """

    id: UUID
    name: str
    verb: str
    percent: int | None


def restores_under_way(
    projects: Iterable[UUID], reader: Account
) -> Mapping[UUID, Sequence[RestoreUnderWay]]:
    """Return unfinished restores by the project whose backup they restore."""
    found: dict[UUID, list[RestoreUnderWay]] = defaultdict(list)
    restores = Restore.objects.unfinished().filter(snapshot__project__in=list(projects))
    for one in restores.select_related("snapshot").only(*SHOWN).order_by("created_at"):
        step, total = Step(one.step), one.rows_total
        percent = min(100 * one.rows_done // total, 100) if step in COUNTED and total else None
        name = one.name if one.requested_by_id == reader.pk else ANOTHER
        under_way = RestoreUnderWay(one.pk, name, COUNTED.get(step, OTHERWISE), percent)
        found[one.snapshot.project_id].append(under_way)
    return found
