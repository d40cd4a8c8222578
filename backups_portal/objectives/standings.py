"""The current standings of a project's objectives."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from backups_portal.objectives.models import Breach, Objective
from backups_portal.objectives.objective_verdicts import Judgement, judge
from backups_portal.projects.models import Project

MET, MISSED, UNMEASURED = "met", "missed", "unmeasured"
LABELS = {MET: "Met", MISSED: "Missed", UNMEASURED: "Not measured"}


@dataclass(frozen=True)
class Standing:
    """Whether an objective is met now.

    Attributes:
        state: "met", "missed" or "unmeasured".
        since: Since when it has been missed; None unless it is.
        is_of_backup: Whether the figure is the age of a backup.
        figure: How much could be lost now, or how long the last measured restore took.
        measured_at: When that restore ended.
    """

    objective: Objective
    state: str
    since: datetime | None = None
    is_of_backup: bool = False
    figure: timedelta | None = None
    measured_at: datetime | None = None

    @property
    def label(self) -> str:
        """Return the state for a page."""
        return LABELS[self.state]

    @property
    def is_of_point(self) -> bool:
        """Tell whether it limits the age of backups, not the time of restores."""
        return self.objective.kind == Objective.Kind.POINT


def standings_of(project: Project, now: datetime) -> list[Standing]:
    """Judge each objective in force: the recovery point, then the time.

    It judges up to now, without waiting for the scan that stores breaches, and stores none.
    """
    found = Objective.objects.filter(project=project, ended_at=None).order_by("kind")
    objectives = list(found)
    if not objectives:
        return []
    for objective in objectives:
        objective.project = project
    if project.state != Project.State.ACTIVE:
        return [Standing(one, UNMEASURED) for one in objectives]
    running = [one for one in objectives if one.stopped_at is None]
    judgements = judge(running, now)
    began = dict(
        Breach.objects.filter(objective__in=objectives, ended_at=None).values_list(
            "objective", "began_at"
        )
    )
    return [
        _standing(one, judgements.get(one.pk, Judgement()), began.get(one.pk), now)
        for one in objectives
    ]


def _standing(
    objective: Objective, judgement: Judgement, began_at: datetime | None, now: datetime
) -> Standing:
    newest, last = judgement.newest, judgement.last
    figure = now - newest if newest else last.took if last else None
    spell = judgement.spells[-1] if judgement.spells else None
    is_missed = spell is not None and spell.ended_at is None
    since = spell.began_at if spell and is_missed else None
    # A stored breach continues, unless it has ended and another one has begun since.
    if since and began_at and since <= objective.checked_at:
        since = began_at
    return Standing(
        objective,
        state=MISSED if is_missed else MET if figure is not None else UNMEASURED,
        since=since,
        is_of_backup=judgement.is_of_backup,
        figure=figure,
        measured_at=last.at if last else None,
    )
