"""The portal's records of snapshots, which need no look into storage."""

import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q
from django.utils import timezone

from backups_portal.audit.recorder import Actor, record
from backups_portal.lib.leases import LeaseQuerySet, Retried
from backups_portal.projectdb.schema_version import SCHEMA_VERSION
from backups_portal.projects.models import Project
from backups_portal.ui import formats, moments


class CheckTally(NamedTuple):
    """How many of the owner's checks a proof made, and how they ended."""

    made: int
    failed: int
    not_run: int

    @property
    def is_clean(self) -> bool:
        """Tell whether all checks passed."""
        return not self.failed and not self.not_run

    def __str__(self) -> str:
        """Put the result in words, worst first: 1 of 3 checks failed."""
        of = formats.count(self.made, "check")
        if self.is_clean:
            return f"{of} passed"
        bad = [(self.failed, "failed"), (self.not_run, "could not be run")]
        (number, verb), *more = [one for one in bad if one[0]]
        return ", ".join([f"{number} of {of} {verb}", *(f"{count} {what}" for count, what in more)])


class SnapshotQuerySet(LeaseQuerySet):
    """Selections of snapshots by state, verdict and age."""

    def completed(self) -> "SnapshotQuerySet":
        """Select snapshots that are stored."""
        return self.filter(state=Snapshot.State.COMPLETED)

    def good(self) -> "SnapshotQuerySet":
        """Select stored snapshots with no failed proof."""
        return self.completed().exclude(verdict=Snapshot.Verdict.FAILED)

    def bad(self) -> "SnapshotQuerySet":
        """Select stored snapshots known not to restore as recorded."""
        return self.completed().filter(verdict=Snapshot.Verdict.FAILED)

    def replaceable(self) -> "SnapshotQuerySet":
        """Select bad snapshots whose local date has room for a replacement."""
        replaced = Snapshot.objects.filter(
            project=OuterRef("project"), local_date=OuterRef("local_date"), is_replaced=True
        )
        return self.bad().exclude(Exists(replaced))

    def not_newer(self) -> "SnapshotQuerySet":
        """Exclude snapshots that only a newer version of the portal can read."""
        return self.exclude(schema_version__gt=SCHEMA_VERSION)

    def listed(self) -> "SnapshotQuerySet":
        """Select the snapshots of a Backups page: all that have not expired."""
        return self.exclude(state=Snapshot.State.EXPIRED).order_by("-local_date", "is_replaced")

    def by_day(self) -> "SnapshotQuerySet":
        """Order by local date; of two, the one that decides the day comes last.

        That is the replacement, unless only the replaced one is good because it passed later.
        """
        is_good = Q(taken_at__isnull=False) & ~Q(verdict=Snapshot.Verdict.FAILED)
        rank = ExpressionWrapper(is_good, output_field=BooleanField())
        return self.order_by("local_date", rank, "-is_replaced")

    def never_stored(self) -> "SnapshotQuerySet":
        """Select snapshots that failed before they were stored."""
        return self.filter(state=Snapshot.State.FAILED, taken_at=None)

    def queue_again(self, *, lease_until: datetime, **due: datetime) -> int:
        """Queue failed snapshots again with all their tries; return the count.

        Args:
            lease_until: Until when their message counts as in flight.
            due: `retry_at`; or `scheduled_for`, if the schedule has another time for them.
        """
        return self.update(
            state=Snapshot.State.QUEUED,
            lease_until=lease_until,
            # Not a first try: the next one must remove what an earlier one may have published.
            attempts=1,
            failures=0,
            reason="",
            cause="",
            finished_at=None,
            **{"retry_at": None, **due},
        )

    def half_removed(self) -> "SnapshotQuerySet":
        """Select expired snapshots that are still in storage."""
        return self.filter(state=Snapshot.State.EXPIRED, removed_at=None)

    def newest_good(self) -> "Snapshot | None":
        """Return the newest snapshot that can be restored, with its hold."""
        good = self.good().select_related("hold").order_by("-taken_at", "-id")
        shown = ("project", "state", "verdict", "local_date", "taken_at", "hold__id")
        found: Snapshot | None = good.only(*shown).first()
        return found

    def newest_measured(self) -> "Snapshot | None":
        """Return the newest good snapshot with a measured restore time."""
        measured = self.good().exclude(restore_seconds=None).order_by("-taken_at", "-id")
        found: Snapshot | None = measured.only("local_date", "rows", "restore_seconds").first()
        return found


class Snapshot(Retried):
    """The state of a main database at one instant, stored outside it."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        COMPLETED = "completed", "Stored"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Expired"

    class Verdict(models.TextChoices):
        UNPROVEN = "unproven", "Not proven"
        PASSED = "passed", "Proven"
        FAILED = "failed", "Failed its proof"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="snapshots")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    local_date = models.DateField()
    # It was found bad, and its local date has another snapshot; see schedule/replacements.py.
    is_replaced = models.BooleanField(default=False, db_default=False)
    scheduled_for = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    # The instant whose state it contains.
    taken_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)
    # Until when retention leaves it to its readers; see retention/reader_leases.py.
    read_until = models.DateTimeField(null=True)
    # Until when each reader has it; the latest is `read_until`.
    reader_leases = ArrayField(models.DateTimeField(), default=list, db_default=[])

    manifest = models.CharField(max_length=200, blank=True)
    # SHA-256 of the published manifest before encryption; empty if it was not recorded, or did not
    # hold later. See integrity/recorded_manifests.py.
    manifest_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    is_full = models.BooleanField(default=True)
    table_rows = models.JSONField(default=dict)
    rows = models.BigIntegerField(null=True)
    # Bytes of its rows before encoding; of all objects that it names; of its new objects.
    logical_bytes = models.BigIntegerField(null=True)
    stored_bytes = models.BigIntegerField(null=True)
    new_bytes = models.BigIntegerField(null=True)
    postgresql_version = models.CharField(max_length=40, blank=True)
    schema_version = models.PositiveIntegerField(null=True)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    bytes_done = models.BigIntegerField(default=0)
    # Changes that a full re-read found and tracking had missed; see engine/full_reread.py.
    untracked = models.JSONField(default=list)

    # Until when each of its objects is locked at least; empty if the storage has no locks, or they
    # must be checked again. See object_lock/lock_extension.py.
    locked_until = models.DateTimeField(null=True)

    # Why it is unusually small compared with earlier ones, if it is. See reports/anomaly.py.
    size_note = models.TextField(blank=True)
    # Objects of earlier snapshots that storage had lost or damaged, and that this one wrote again.
    storage_note = models.TextField(blank=True, default="", db_default="")

    # The result of its newest proof or restore; `proven_at` is its time, whatever the result.
    verdict = models.CharField(max_length=8, choices=Verdict.choices, default=Verdict.UNPROVEN)
    verdict_reason = models.TextField(blank=True)
    proven_at = models.DateTimeField(null=True)
    # How many seconds a restore takes without the comparison, as last measured.
    restore_seconds = models.FloatField(null=True)
    # How many of the owner's checks its newest proof made; the proof has their results.
    checks_made = models.PositiveSmallIntegerField(default=0, db_default=0)
    checks_failed = models.PositiveSmallIntegerField(default=0, db_default=0)
    checks_not_run = models.PositiveSmallIntegerField(default=0, db_default=0)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "local_date"],
                condition=Q(is_replaced=False),
                name="snapshot_once_per_local_date",
            ),
            models.UniqueConstraint(
                fields=["project", "local_date"],
                condition=Q(is_replaced=True),
                name="snapshot_replaced_once",
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
            # Listed on the Backups page, which counts them by the index alone.
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
            models.Index(
                fields=["proven_at"],
                name="snapshot_checks_failed",
                condition=Q(checks_failed__gt=0) | Q(checks_not_run__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"snapshot of {self.project} for {self.local_date}"

    @property
    def day_name(self) -> str:
        """Return its name in all places: its day in the project's zone."""
        return moments.day(self.local_date)

    @property
    def status(self) -> tuple[str, str]:
        """Return its state or verdict as a key and a label."""
        if self.state != self.State.COMPLETED:
            return self.state, self.State(self.state).label
        if self.verdict == self.Verdict.UNPROVEN:
            # Not the key "completed", because being stored is less than what a proof shows.
            return "stored", self.State.COMPLETED.label
        return self.verdict, self.Verdict(self.verdict).label

    @property
    def duration(self) -> timedelta | None:
        """Return how long it took to take the snapshot."""
        if self.started_at and self.finished_at:
            return self.finished_at - self.started_at
        return None

    @property
    def restore_time(self) -> timedelta | None:
        """Return how long a restore takes, if that was measured."""
        return None if self.restore_seconds is None else timedelta(seconds=self.restore_seconds)

    @property
    def checks(self) -> CheckTally | None:
        """Return its checks' results; None without checks or with a failed proof."""
        if self.verdict != self.Verdict.PASSED or not self.checks_made:
            return None
        return CheckTally(self.checks_made, self.checks_failed, self.checks_not_run)

    @property
    def is_good(self) -> bool:
        """Tell whether it is stored and has no failed proof."""
        return self.state == self.State.COMPLETED and self.verdict != self.Verdict.FAILED

    @property
    def is_newer(self) -> bool:
        """Tell whether only a newer version of the portal can read it.

        As far as the row knows: only the manifest shows a newer format of the same schema.
        """
        return self.schema_version is not None and self.schema_version > SCHEMA_VERSION

    @property
    def is_restorable(self) -> bool:
        """Tell whether a restore may be offered."""
        return self.is_good and not self.is_newer

    @property
    def is_held(self) -> bool:
        """Tell whether an owner keeps it regardless of its age."""
        return hasattr(self, "hold")

    def record(self, action: str, actor: Actor | None = None, **details: object) -> None:
        """Record in the audit log what happened to this backup, as `record` does."""
        record(
            action=action,
            actor=actor,
            project=self.project,
            subject=f"Backup of {self.local_date}",
            details={"snapshot": str(self.pk), **details},
        )

    def is_being_read(self, now: datetime) -> bool:
        """Tell whether somebody is downloading it, or was until a moment ago."""
        return self.read_until is not None and self.read_until > now

    def kept_until(self, retention_days: int) -> datetime | None:
        """Return when retention may remove it; None if it is not stored."""
        if self.state != self.State.COMPLETED or self.taken_at is None:
            return None
        return self.taken_at + timedelta(days=retention_days)


class SnapshotCopy(Retried):
    """The portal's record of a snapshot's copy in the second storage.

    While the row exists, parts of the copy may be there: an expired snapshot's row is deleted once
    its copy has been removed.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting to be copied"
        RUNNING = "running", "Being copied"
        COPIED = "copied", "Copied"
        FAILED = "failed", "Copy failed"

    snapshot = models.OneToOneField(Snapshot, models.CASCADE, primary_key=True, related_name="copy")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Its place without credentials: if the setting names another place, it is copied there again.
    place = models.CharField(max_length=500)
    copied_at = models.DateTimeField(null=True)
    # When each of its objects was last read back, by copying or verifying; unknown for a copy that
    # was found when the catalogue was rebuilt.
    verified_at = models.DateTimeField(null=True)
    # Bytes that had to be written; objects that earlier copies already had do not count.
    new_bytes = models.BigIntegerField(null=True)
    # When a restore or a proof last needed the copy, because the first storage had lost or damaged
    # something; no snapshot builds upon this one until it is repaired.
    needed_at = models.DateTimeField(null=True)
    # As in `Snapshot`, for the second storage.
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
    """An owner's decision to keep a snapshot regardless of its age."""

    snapshot = models.OneToOneField(Snapshot, models.CASCADE, related_name="hold")
    account = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"hold on {self.snapshot}"
