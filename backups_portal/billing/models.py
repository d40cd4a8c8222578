"""The charges of projects."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Charge(models.Model):
    """A line of a project's bill.

    A creation charge is one amount. A running charge is a rate that counts from `starts_at`
    until `ends_at`, or until now while the project runs.
    """

    class Kind(models.TextChoices):
        CREATION = "creation", "Project creation"
        RUNNING = "running", "Running instance"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project_id = models.UUIDField()
    project_name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # The price of one unit: the whole creation, or an hour of running.
    unit_price = models.DecimalField(max_digits=12, decimal_places=4)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200, blank=True)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-starts_at", "kind"]
        indexes = [models.Index(fields=["project_id", "-starts_at"], name="charge_project_starts")]
        constraints = [
            models.UniqueConstraint(
                fields=["project_id"],
                condition=Q(kind="creation"),
                name="charge_creation_once",
            ),
            models.UniqueConstraint(
                fields=["project_id"],
                condition=Q(kind="running", ends_at=None),
                name="charge_running_once",
            ),
            models.CheckConstraint(
                condition=Q(unit_price__gte=0), name="charge_price_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=F("starts_at")),
                name="charge_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.project_name}"
