"""Restores and proofs, which make databases from snapshots, and checks."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.lib.failure_causes import CAUSE_LENGTH
from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.redaction import ANOTHER
from backups_portal.ui.formats import MINUS, count
from backups_portal.ui.visible_names import seen_name
from restores.build_steps import Step
from restores.sought_rows import SoughtRows
from snapshots.models import Snapshot


class Build(Leased):
    """The fields that restores and proofs share: a database and its progress."""

    Step = Step

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.WAITING)
    step_started_at = models.DateTimeField(null=True)
    # The reason, for programs; also empty if it failed before causes were recorded.
    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True, default="", db_default="")

    # The database being made, stored before it exists, so that cleanup finds it after a crash.
    server = models.ForeignKey(DatabaseServer, models.PROTECT, null=True, related_name="+")
    prefix = models.CharField(max_length=8, blank=True)
    database = models.CharField(max_length=63, blank=True)

    # Progress of the current step; bytes are those of the objects in storage.
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    bytes_done = models.BigIntegerField(default=0)
    bytes_total = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        abstract = True


class Restore(Build):
    """One run that makes a new project from a snapshot."""

    # The name that the reader may see; see projects/redaction.py.
    shown_name = ANOTHER

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"

    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="restores")
    # The account that accepted the charges and will own the new project; a retry replaces it.
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    # The system user whose command requested it in the owner's name; "" if the owner did.
    operator = models.CharField(max_length=64, blank=True, default="", db_default="")
    # Sent with the form, so that a double click makes one restore. It is bound to the account that
    # sent it (`Account.bind_request_key`).
    request_key = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
    name = models.CharField(max_length=100)
    # The server that an operator chose; None: the one with most room.
    wanted_server = models.ForeignKey(
        DatabaseServer, models.PROTECT, null=True, blank=True, related_name="+"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)

    # The accepted price, which does not change during the run.
    creation_fee = models.DecimalField(max_digits=12, decimal_places=4)
    running_fee_per_hour = models.DecimalField(max_digits=12, decimal_places=4)
    currency = models.CharField(max_length=3)

    # The new project: the last step publishes the database as its own.
    project = models.OneToOneField(
        Project, models.SET_NULL, null=True, blank=True, related_name="restored_by"
    )

    # Whether it took over a proof's database instead of loading one.
    was_warm = models.BooleanField(default=False)
    # When to retry the rebuild of the new project's block-range indexes; None: nothing is left to
    # do. See index_rebuild.py.
    indexes_due_at = models.DateTimeField(null=True)
    # What the owner must know afterwards: rows per table, and broken references.
    report = models.JSONField(default=dict)
    # The lost rows that it is meant to bring back, if any were named; see sought_rows.py.
    sought = models.JSONField(null=True)

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
            models.Index(
                fields=["indexes_due_at"],
                name="restore_indexes_due",
                condition=Q(indexes_due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"restore of {self.snapshot} as {self.name}"

    @property
    def looked_for(self) -> SoughtRows | None:
        """Return the lost rows that it is meant to bring back, if any."""
        return SoughtRows.from_json(self.sought) if self.sought else None

    def remember(self, sought: SoughtRows) -> None:
        """Store which rows were lost, so that its pages offer to move these back."""
        self.sought = sought.as_json()
        self.save(update_fields=["sought"])

    @property
    def shown_reason(self) -> str:
        """Return the reason without a name that the reader may not see."""
        is_readable = self.shown_name == self.name
        return self.reason if is_readable else self.reason.replace(self.name, self.shown_name)


class Proof(Build):
    """One run that restores a snapshot into a scratch database to compare it."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        PASSED = "passed", "Passed"
        FAILED = "failed", "Failed"
        # It says nothing about the snapshot: a server was unreachable or full, or the worker died.
        GIVEN_UP = "given_up", "Given up"

    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="proofs")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Seconds until it was ready for queries, with the comparison already under way, and those of
    # the rest of the comparison.
    restore_seconds = models.FloatField(null=True)
    compare_seconds = models.FloatField(null=True)
    # Whether its database was kept, closed to everybody, for a restore to take over, and what the
    # server reported about it then, which shows whether it may have been written to since.
    is_kept = models.BooleanField(default=False)
    seal = models.JSONField(default=dict)
    # The results of the owner's checks; see checks/check_results.py.
    check_results = models.JSONField(default=list, db_default=[])

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


class Check(models.Model):
    """A condition that an owner wants every proven backup to meet."""

    class Kind(models.TextChoices):
        NEWEST = "newest", "A device has a new record"
        DEVICES = "devices", "There are enough devices"
        BETWEEN = "between", "A variable is in a range"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="checks")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # Empty: every device. The name comes from the newest backup that was read.
    device_id = models.CharField(max_length=24, blank=True)
    device_name = models.TextField(blank=True)
    variable = models.TextField(blank=True)
    hours = models.PositiveIntegerField(null=True)
    at_least = models.PositiveIntegerField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind="newest") | (~Q(device_id="") & Q(hours__isnull=False)),
                name="check_newest_is_whole",
            ),
            models.CheckConstraint(
                condition=~Q(kind="devices") | Q(at_least__isnull=False),
                name="check_devices_is_whole",
            ),
            models.CheckConstraint(
                condition=~Q(kind="between")
                | (
                    ~Q(variable="")
                    & Q(low__isnull=False)
                    & Q(high__isnull=False)
                    & Q(low__lte=models.F("high"))
                ),
                name="check_between_is_whole",
            ),
            models.UniqueConstraint(
                fields=[
                    *("project", "kind", "device_id", "variable"),
                    *("hours", "at_least", "low", "high"),
                ],
                name="check_once_a_project",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return self.sentence

    @property
    def sentence(self) -> str:
        """Return the check in words, without a full stop."""
        device = seen_name(self.device_name) if self.device_id else "every device"
        if self.kind == self.Kind.NEWEST:
            return f"{device} has a record younger than {count(self.hours or 0, 'hour')}"
        if self.kind == self.Kind.DEVICES:
            return f"At least {count(self.at_least or 0, 'device')}"
        if self.kind != self.Kind.BETWEEN:
            return "A check of a newer version of Backups Portal"
        low, high = in_digits(self.low or 0.0), in_digits(self.high or 0.0)
        period = f" in the last {count(self.hours, 'hour')}" if self.hours else ""
        return f"{seen_name(self.variable)} of {device} is between {low} and {high}{period}"


def in_digits(value: float) -> str:
    """Write a number with a true minus sign, such as 0.5 or 1e+300."""
    return f"{value:.15g}".replace("-", MINUS)
