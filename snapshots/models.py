"""What is known of a project's snapshots without opening them."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import JSONObject
from django.utils import timezone

from backups_portal.lib.causes import CAUSE_LENGTH
from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.projects.models import Project


class SnapshotQuerySet(LeaseQuerySet):
    """Snapshots as their readers need them."""

    def completed(self) -> "SnapshotQuerySet":
        """Snapshots that are stored."""
        return self.filter(state=Snapshot.State.COMPLETED)

    def good(self) -> "SnapshotQuerySet":
        """Stored snapshots against which nothing speaks; only these are restored."""
        return self.completed().exclude(verdict=Snapshot.Verdict.FAILED)

    def listed(self) -> "SnapshotQuerySet":
        """Snapshots that a Backups page shows: everything but what retention removed."""
        return self.exclude(state=Snapshot.State.EXPIRED).order_by("-local_date")

    def unfinished(self) -> "SnapshotQuerySet":
        """Snapshots that are waiting or being taken."""
        return self.filter(state__in=Snapshot.UNFINISHED)

    def with_uses(self) -> "SnapshotQuerySet":
        """Each with the restore of it that is under way, and whether it is being proven."""
        # This app may not know restores and proofs: they are reached by their names.
        restores, proofs = (
            self.model._meta.get_field(name)
            .related_model._default_manager.unfinished()
            .filter(snapshot=OuterRef("pk"))
            for name in ("restores", "proofs")
        )
        return self.annotate(
            restore_under_way=Subquery(restores.values(found=JSONObject(id="id", name="name"))[:1]),
            is_being_proven=Exists(proofs),
        )


class Snapshot(Leased):
    """The state of a main database at one instant, stored outside it."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        COMPLETED = "completed", "Stored"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Expired"

    UNFINISHED = (State.QUEUED, State.RUNNING)

    class Verdict(models.TextChoices):
        UNPROVEN = "unproven", "Not proven"
        PASSED = "passed", "Proven"
        FAILED = "failed", "Failed its proof"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="snapshots")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Why it failed, in a sentence that an owner understands; of a queued one, why it did last time.
    reason = models.TextField(blank=True)
    # The same for programs; empty also where it failed before that was recorded.
    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True, default="", db_default="")
    # How often it failed and was queued again, and not to be tried before when.
    failures = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    local_date = models.DateField()
    scheduled_for = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    # The instant whose state it holds.
    taken_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    manifest = models.CharField(max_length=200, blank=True)
    is_full = models.BooleanField(default=True)
    table_rows = models.JSONField(default=dict)
    rows = models.BigIntegerField(null=True)
    # Bytes of the rows before encoding; of all objects it names; of those that were new.
    logical_bytes = models.BigIntegerField(null=True)
    stored_bytes = models.BigIntegerField(null=True)
    new_bytes = models.BigIntegerField(null=True)
    postgresql_version = models.CharField(max_length=40, blank=True)
    schema_version = models.PositiveIntegerField(null=True)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    bytes_done = models.BigIntegerField(default=0)
    # Changes that a full re-read found and tracking had not told of; see engine/rereading.py.
    untracked = models.JSONField(default=list)

    # Until when each of its objects is locked at least; empty where the storage locks nothing, and
    # where that has to be looked at again. See locking.py.
    locked_until = models.DateTimeField(null=True)

    # Why it is unusually small beside those before it; empty where it is not. See anomaly.py.
    size_note = models.TextField(blank=True)

    # What its newest proof, or a restore of it, has shown; `proven_at` is when, either way.
    verdict = models.CharField(max_length=8, choices=Verdict.choices, default=Verdict.UNPROVEN)
    verdict_reason = models.TextField(blank=True)
    proven_at = models.DateTimeField(null=True)
    # How long a restore of it takes, in seconds, without the comparison: as last measured.
    restore_seconds = models.FloatField(null=True)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "local_date"], name="snapshot_once_per_local_date"
            ),
            models.CheckConstraint(
                condition=~Q(state="completed") | (Q(taken_at__isnull=False) & ~Q(manifest="")),
                name="snapshot_completed_has_manifest",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(reason=""), name="snapshot_failed_has_reason"
            ),
            models.CheckConstraint(
                condition=~Q(verdict="failed") | ~Q(verdict_reason=""),
                name="snapshot_verdict_failed_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(verdict="unproven") | Q(proven_at__isnull=False),
                name="snapshot_verdict_has_moment",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-scheduled_for"], name="snapshot_project_newest"),
            models.Index(
                fields=["project", "-taken_at"],
                name="snapshot_newest_stored",
                condition=Q(state="completed"),
            ),
            # What the Backups page lists, and counts without reading the rows.
            models.Index(
                fields=["project", "-local_date"],
                name="snapshot_listed",
                condition=~Q(state="expired"),
            ),
            models.Index(
                fields=["state", "lease_until"],
                name="snapshot_unfinished",
                condition=Q(state__in=["queued", "running"]),
            ),
            models.Index(
                fields=["finished_at"], name="snapshot_failed", condition=Q(state="failed")
            ),
        ]

    def __str__(self) -> str:
        return f"snapshot of {self.project} for {self.local_date}"

    @property
    def day_name(self) -> str:
        """What it is called everywhere: its day in the project's zone, as 23 Nov 2026."""
        return f"{self.local_date.day} {self.local_date:%b %Y}"

    @property
    def status(self) -> tuple[str, str]:
        """How far it is, or what its proof has shown: the word for it, and what it is called."""
        if self.state != self.State.COMPLETED:
            return self.state, self.State(self.state).label
        if self.verdict == self.Verdict.UNPROVEN:
            # Another word than of what is completed: it is less than what a proof has shown.
            return "stored", self.State.COMPLETED.label
        return self.verdict, self.Verdict(self.verdict).label

    @property
    def duration(self) -> timedelta | None:
        """How long taking it lasted."""
        if self.started_at and self.finished_at:
            return self.finished_at - self.started_at
        return None

    @property
    def restore_time(self) -> timedelta | None:
        """How long a restore of it takes, where that was measured."""
        return None if self.restore_seconds is None else timedelta(seconds=self.restore_seconds)

    @property
    def is_good(self) -> bool:
        """Whether it is stored and nothing speaks against it."""
        return self.state == self.State.COMPLETED and self.verdict != self.Verdict.FAILED

    def kept_until(self, retention_days: int) -> datetime | None:
        """When retention may remove it; None where there is nothing to keep."""
        if self.state != self.State.COMPLETED or self.taken_at is None:
            return None
        return self.taken_at + timedelta(days=retention_days)


class SnapshotCopy(Leased):
    """What is known of a snapshot's copy in the second storage.

    As long as there is a row, something of it may lie there: that of an expired snapshot goes once
    its copy is removed.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Waits to be copied"
        RUNNING = "running", "Being copied"
        COPIED = "copied", "Copied"
        FAILED = "failed", "Copy failed"

    UNFINISHED = (State.QUEUED, State.RUNNING)

    snapshot = models.OneToOneField(Snapshot, models.CASCADE, primary_key=True, related_name="copy")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Where it is, without what opens it: where the setting names another place, it is copied there.
    place = models.CharField(max_length=500)
    # Why it failed; of a queued one, why it did last time.
    reason = models.TextField(blank=True)
    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True, default="", db_default="")
    # How often it failed and was queued again, and not to be tried before when.
    failures = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    copied_at = models.DateTimeField(null=True)
    # When each of its objects had been read back, by copying or by a later look; not known of one
    # that was found when the catalogue was made anew.
    verified_at = models.DateTimeField(null=True)
    # Bytes that had to be written; what earlier copies have already is shared with them.
    new_bytes = models.BigIntegerField(null=True)
    # When a restore or a proof last needed it, because the first storage had lost or damaged
    # something; nothing is built upon such a snapshot until it is repaired.
    needed_at = models.DateTimeField(null=True)
    # As of the snapshot, in the second storage.
    locked_until = models.DateTimeField(null=True)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="copied") | Q(copied_at__isnull=False),
                name="snapshotcopy_copied_has_moment",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(reason=""), name="snapshotcopy_failed_has_reason"
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "lease_until"],
                name="snapshotcopy_unfinished",
                condition=Q(state__in=["queued", "running"]),
            ),
            models.Index(
                fields=["finished_at"], name="snapshotcopy_failed", condition=Q(state="failed")
            ),
        ]

    def __str__(self) -> str:
        return f"copy of {self.snapshot}"


class Hold(models.Model):
    """A wish to keep a snapshot whatever its age."""

    snapshot = models.OneToOneField(Snapshot, models.CASCADE, related_name="hold")
    account = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"hold on {self.snapshot}"
