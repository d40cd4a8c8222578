"""Runs that make a new project out of a snapshot."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.projects.models import DatabaseServer, Project
from snapshots.models import Snapshot


class RestoreQuerySet(LeaseQuerySet):
    """Restores as their readers need them."""

    def unfinished(self) -> "RestoreQuerySet":
        """Restores that are waiting or loading."""
        return self.filter(state__in=Restore.UNFINISHED)


class Restore(Leased):
    """One run that makes a new project out of a snapshot, and never touches another database."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"

    class Step(models.TextChoices):
        WAITING = "waiting", "Waiting for a worker"
        CREATING = "creating", "Creating an isolated database"
        LOADING = "loading", "Loading rows"
        INDEXING = "indexing", "Building indexes"
        PROVING = "proving", "Comparing every row with the backup"
        PUBLISHING = "publishing", "Opening the project"
        DONE = "done", "Done"

    UNFINISHED = (State.QUEUED, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="restores")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    # Sent with the form, so that a double click asks for one restore.
    request_key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.WAITING)
    reason = models.TextField(blank=True)

    # The price that was accepted; it does not change under way.
    creation_fee = models.DecimalField(max_digits=12, decimal_places=4)
    running_fee_per_hour = models.DecimalField(max_digits=12, decimal_places=4)
    currency = models.CharField(max_length=3)

    # What is being made; it becomes the project's when the last step publishes it.
    server = models.ForeignKey(DatabaseServer, models.PROTECT, null=True, related_name="+")
    prefix = models.CharField(max_length=8, blank=True)
    database = models.CharField(max_length=63, blank=True)
    project = models.OneToOneField(
        Project, models.SET_NULL, null=True, blank=True, related_name="restored_by"
    )

    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    # What the owner has to know afterwards: rows per table, what references now miss.
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = RestoreQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(reason=""), name="restore_failed_has_reason"
            ),
            models.UniqueConstraint(
                Lower("name"),
                "requested_by",
                condition=Q(state__in=["queued", "running"]),
                name="restore_name_reserved",
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "lease_until"],
                name="restore_unfinished",
                condition=Q(state__in=["queued", "running"]),
            )
        ]

    def __str__(self) -> str:
        return f"restore of {self.snapshot} as {self.name}"
