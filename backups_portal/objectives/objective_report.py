"""The objectives of a project over a period, and when they were not met."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.models import Project


@dataclass(frozen=True)
class ObjectiveReport:
    """What was wanted in a period, and what was missed.

    Attributes:
        objectives: Those in force at any time of it, in the order in which they were set; each has
            its `began_at` and, unless it is in force, `ended_at`, which may lie outside.
        breaches: Those that lasted at any time of it, oldest first, with their objectives; their
            ends may lie outside, too.
    """

    objectives: Sequence[Objective]
    breaches: Sequence[Breach]


def report_of(project: Project, since: datetime, until: datetime) -> ObjectiveReport:
    """Return the objectives and breaches of a period, in two queries.

    Breaches are as the scan wrote them down, which is up to a minute ago.
    """
    overlap = Q(began_at__lt=until) & (Q(ended_at=None) | Q(ended_at__gt=since))
    objectives = Objective.objects.filter(overlap, project=project)
    return ObjectiveReport(
        objectives=list(objectives.order_by("began_at", "kind")),
        breaches=list(breaches_of(project, since, until).order_by("began_at", "pk")),
    )


def breaches_of(project: Project, since: datetime, until: datetime) -> QuerySet[Breach]:
    """Select the breaches that lasted at any time of a period, with their objectives."""
    overlap = Q(began_at__lt=until) & (Q(ended_at=None) | Q(ended_at__gt=since))
    return Breach.objects.filter(overlap, objective__project=project).select_related("objective")
