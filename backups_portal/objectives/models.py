"""Recovery objectives of projects, and their breaches."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from backups_portal.projects.models import Project
from backups_portal.ui import formats


class Objective(models.Model):
    """A target in force for a time; a change ends it and begins another."""

    class Kind(models.TextChoices):
        POINT = "point", "Recovery point"
        TIME = "time", "Recovery time"

    project = models.ForeignKey(Project, models.CASCADE, related_name="objectives")
    kind = models.CharField(max_length=5, choices=Kind.choices)
    # Hours of data that may be lost, or minutes that a restore may take.
    target = models.PositiveIntegerField()
    began_at = models.DateTimeField(default=timezone.now)
    # When it was changed or withdrawn.
    ended_at = models.DateTimeField(null=True)
    # When measuring stopped because the project was shut down, and when it last resumed. Ages count
    # from then: nothing was written during the shut-down.
    stopped_at = models.DateTimeField(null=True)
    resumed_at = models.DateTimeField(null=True)
    # Everything up to then has been judged; see breach_scan.py.
    checked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind"],
                name="objective_one_in_force",
                condition=Q(ended_at__isnull=True),
            ),
            models.CheckConstraint(condition=Q(target__gte=1), name="objective_target_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.project}: {self.target_name}"

    @property
    def limit(self) -> timedelta:
        """Return the greatest age of a backup, or time of a restore."""
        if self.kind == self.Kind.POINT:
            return timedelta(hours=self.target)
        return timedelta(minutes=self.target)

    @property
    def target_name(self) -> str:
        """Return the target in words, such as "at most 26 hours"."""
        unit = "hour" if self.kind == self.Kind.POINT else "minute"
        return f"at most {formats.count(self.target, unit)}"


class Breach(models.Model):
    """A time for which an objective was missed."""

    class End(models.TextChoices):
        MET = "met", "Met again"
        CHANGED = "changed", "Objective changed"
        STOPPED = "stopped", "Project shut down"

    objective = models.ForeignKey(Objective, models.CASCADE, related_name="breaches")
    began_at = models.DateTimeField()
    # None while it lasts.
    ended_at = models.DateTimeField(null=True)
    end = models.CharField(max_length=7, choices=End.choices, blank=True)
    # The greatest age of the newest backup, or the longest restore; while the breach lasts, as of
    # the last judgement.
    worst_seconds = models.FloatField()

    class Meta:
        verbose_name_plural = "breaches"
        constraints = [
            models.UniqueConstraint(
                fields=["objective"],
                name="breach_one_at_a_time",
                condition=Q(ended_at__isnull=True),
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, end="")
                | (Q(ended_at__isnull=False) & ~Q(end="")),
                name="breach_ended_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"breach of {self.objective} since {self.began_at}"

    @property
    def worst(self) -> timedelta:
        """Return the greatest age of a backup, or the longest restore."""
        return timedelta(seconds=self.worst_seconds)
