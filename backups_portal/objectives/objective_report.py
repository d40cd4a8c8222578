"""The objectives of a project over a period, and their breaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.models import Project


@dataclass(frozen=True)
class ObjectiveReport:
    """The objectives and the breaches of a period.

    Attributes:
        objectives: Those in force at any time of the period, in the order in which they were set.
            `began_at` and `ended_at` (None if still in force) may lie outside the period.
        breaches: Those that overlap the period, oldest first, with their objectives; they may begin
            or end outside it, too.
    """

    objectives: Sequence[Objective]
    breaches: Sequence[Breach]


def report_of(project: Project, since: datetime, until: datetime) -> ObjectiveReport:
    """Return the objectives and breaches of a period, in two queries.

    Breaches are as the scan last stored them, up to a minute ago.
    """
    overlap = Q(began_at__lt=until) & (Q(ended_at=None) | Q(ended_at__gt=since))
    objectives = Objective.objects.filter(overlap, project=project)
    return ObjectiveReport(
        objectives=list(objectives.order_by("began_at", "kind")),
        breaches=list(breaches_of(project, since, until).order_by("began_at", "pk")),
    )


def breaches_of(project: Project, since: datetime, until: datetime) -> QuerySet[Breach]:
    """Select the breaches that overlap a period, with their objectives."""
    overlap = Q(began_at__lt=until) & (Q(ended_at=None) | Q(ended_at__gt=since))
    return Breach.objects.filter(overlap, objective__project=project).select_related("objective")
