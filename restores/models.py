"""Runs that make a database out of a snapshot: for a new project, or to prove the snapshot."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.lib.causes import CAUSE_LENGTH
from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.projects.models import DatabaseServer, Project
from snapshots.models import Snapshot

UNFINISHED = ("queued", "running")


class BuildQuerySet(LeaseQuerySet):
    """Restores, or proofs, as their readers need them."""

    def unfinished(self) -> "BuildQuerySet":
        """Those that are waiting or at work."""
        return self.filter(state__in=UNFINISHED)


class Build(Leased):
    """What a restore and a proof share: a database that one attempt makes, and its progress."""

    class Step(models.TextChoices):
        WAITING = "waiting", "Waiting for a worker"
        CREATING = "creating", "Creating an isolated database"
        LOADING = "loading", "Loading rows"
        INDEXING = "indexing", "Building indexes"
        PROVING = "proving", "Comparing every row with the backup"
        PUBLISHING = "publishing", "Opening the project"
        DONE = "done", "Done"

    UNFINISHED = UNFINISHED

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.WAITING)
    step_started_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    # The same for programs; empty also where it failed before that was recorded.
    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True, default="", db_default="")

    # What is being made, written down before it exists, so that whoever follows a crash finds it.
    server = models.ForeignKey(DatabaseServer, models.PROTECT, null=True, related_name="+")
    prefix = models.CharField(max_length=8, blank=True)
    database = models.CharField(max_length=63, blank=True)

    # Of the step at hand; the bytes are those of the objects in storage.
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    bytes_done = models.BigIntegerField(default=0)
    bytes_total = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = BuildQuerySet.as_manager()

    class Meta:
        abstract = True


class Restore(Build):
    """One run that makes a new project out of a snapshot, and never touches another database."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"

    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="restores")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    # Sent with the form, so that a double click asks for one restore.
    request_key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100)
    # Where an operator wants the new project; None: where there is most room.
    wanted_server = models.ForeignKey(
        DatabaseServer, models.PROTECT, null=True, blank=True, related_name="+"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)

    # The price that was accepted; it does not change under way.
    creation_fee = models.DecimalField(max_digits=12, decimal_places=4)
    running_fee_per_hour = models.DecimalField(max_digits=12, decimal_places=4)
    currency = models.CharField(max_length=3)

    # The new project: the last step publishes the database as its own.
    project = models.OneToOneField(
        Project, models.SET_NULL, null=True, blank=True, related_name="restored_by"
    )

    # It took over the database that a proof had left, instead of loading one.
    was_warm = models.BooleanField(default=False)
    # What the owner has to know afterwards: rows per table, what references now miss.
    report = models.JSONField(default=dict)

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
            ),
            models.Index(
                fields=["finished_at"], name="restore_failed", condition=Q(state="failed")
            ),
        ]

    def __str__(self) -> str:
        return f"restore of {self.snapshot} as {self.name}"


class Proof(Build):
    """One run that restores a snapshot into a scratch database, compares it, and drops it."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        PASSED = "passed", "Passed"
        FAILED = "failed", "Failed"
        # It says nothing about the snapshot: a server was away or full, or the worker was lost.
        GIVEN_UP = "given_up", "Given up"

    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="proofs")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Until every index was built, and of the comparison after that.
    restore_seconds = models.FloatField(null=True)
    compare_seconds = models.FloatField(null=True)
    # Its database was kept, closed to everybody, for a restore to take over; and what the server
    # said of it then, which shows whether anything could have written to it since.
    is_kept = models.BooleanField(default=False)
    seal = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state__in=["failed", "given_up"]) | ~Q(reason=""),
                name="proof_failed_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(is_kept=False) | (Q(state="passed") & ~Q(prefix="")),
                name="proof_kept_has_passed",
            ),
            models.UniqueConstraint(
                "snapshot",
                condition=Q(state__in=["queued", "running"]),
                name="proof_once_at_a_time",
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "lease_until"],
                name="proof_unfinished",
                condition=Q(state__in=["queued", "running"]),
            ),
            models.Index(fields=["id"], name="proof_has_database", condition=~Q(prefix="")),
            models.Index(fields=["snapshot"], name="proof_kept", condition=Q(is_kept=True)),
            models.Index(
                fields=["finished_at"],
                name="proof_failed",
                condition=Q(state__in=["failed", "given_up"]),
            ),
        ]

    def __str__(self) -> str:
        return f"proof of {self.snapshot}"
