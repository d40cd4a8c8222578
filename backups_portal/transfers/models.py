"""Transfers between projects, and CSV files that clients request."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from backups_portal.lib.failure_causes import CAUSE_LENGTH
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.projects.models import Project
from backups_portal.projects.redaction import ANOTHER
from backups_portal.transfers.plan.selection import Choice
from backups_portal.ui.eta import Pace, pace

# How long a transfer can be undone.
LEDGER_KEPT = timedelta(days=30)
# Names of the work on pages, in general and while it is running.
NOUNS = {"plan": "Dry run", "move": "Move", "undo": "Undo"}
OF_NEWER = "Work of a newer version"
UNDER_WAY = {"plan": "Dry run", "move": "Moving data", "undo": "Undoing"}


class TransferQuerySet(LeaseQuerySet):
    """Queries for transfers."""

    def touching(self, project: Project) -> "TransferQuerySet":
        """Select transfers from or into a project, without long columns."""
        return (
            self.filter(Q(source=project) | Q(target=project))
            .select_related("source", "target")
            .defer("plan", "report")
        )


class Transfer(Leased):
    """A dry run, then the move once an owner starts it, and perhaps its undo."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        READY = "ready", "Ready to move"
        PAUSED = "paused", "Paused"
        CANCELLED = "cancelled", "Cancelled"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"
        UNDONE = "undone", "Undone"

    class Work(models.TextChoices):
        PLAN = "plan", "Dry run"
        MOVE = "move", "Moving data"
        UNDO = "undo", "Undoing"

    class Wish(models.TextChoices):
        GO_ON = "go_on", "Continue"
        PAUSE = "pause", "Pause"
        CANCEL = "cancel", "Cancel"

    # Redacted for the reader; see projects/redaction.py.
    shown_source = shown_target = ANOTHER
    shown_reason = ""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A report outlives its projects, so it stores their names.
    source = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="transfers_out")
    target = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="transfers_in")
    source_name = models.CharField(max_length=100)
    target_name = models.CharField(max_length=100)
    # The owner who requested the current work, so a start or an undo may change it.
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    # The system user whose command requested it on the owner's behalf; "" if the owner did.
    operator = models.CharField(max_length=64, blank=True, default="", db_default="")
    # Bound to the account that sent it; see `Account.bind_request_key`.
    request_key = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    work = models.CharField(max_length=5, choices=Work.choices, default=Work.PLAN)
    # What the owner wants from a run in progress, which checks this after every batch.
    wish = models.CharField(max_length=6, choices=Wish.choices, default=Wish.GO_ON)
    # The reason as a code for programs; also empty if it failed before causes were recorded.
    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True, default="", db_default="")

    choice = models.JSONField()
    plan = models.JSONField(default=dict)
    report = models.JSONField(default=dict)
    # The progress of an undo, stored before each of its commits; the long report follows later.
    undone = models.JSONField(null=True)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When this attempt began to move rows, and how many were moved before, for its pace.
    moving_since = models.DateTimeField(null=True)
    rows_before = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    # Whether the target still has the ledger, which undo and the map of ids need, and until when.
    has_ledger = models.BooleanField(default=False)
    ledger_until = models.DateTimeField(null=True)

    objects = TransferQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(reason=""), name="transfer_failed_has_reason"
            ),
            models.CheckConstraint(
                condition=Q(source=None) | Q(target=None) | ~Q(source=models.F("target")),
                name="transfer_between_two_projects",
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "lease_until"],
                name="transfer_unfinished",
                condition=Q(state__in=["queued", "running"]),
            ),
            models.Index(
                fields=["ledger_until"], name="transfer_ledger", condition=Q(has_ledger=True)
            ),
        ]

    def __str__(self) -> str:
        return f"transfer from {self.source_name} into {self.target_name}"

    def chosen(self) -> Choice:
        """Return the choice of what to move."""
        return Choice.from_json(self.choice)

    @property
    def pace(self) -> Pace:
        """Return the speed of the move and the time it still needs."""
        if self.state != self.State.RUNNING or self.moving_since is None:
            return Pace()
        elapsed = timezone.now() - self.moving_since
        left = None if self.rows_total is None else self.rows_total - self.rows_before
        return pace(self.rows_done - self.rows_before, left, elapsed)

    @property
    def has_begun(self) -> bool:
        """Tell whether something may have been moved or undone."""
        return self.started_at is not None

    @property
    def is_undoing(self) -> bool:
        """Tell whether it is or was being undone, which outdates its report."""
        return self.work == self.Work.UNDO

    @property
    def work_name(self) -> str:
        """Return the name of the work that was requested last."""
        return NOUNS.get(self.work, OF_NEWER)

    @property
    def headline(self) -> str:
        """Return the current work, or its outcome, as a headline."""
        if self.state == self.State.RUNNING:
            return UNDER_WAY.get(self.work, OF_NEWER)
        if self.state in (self.State.QUEUED, self.State.FAILED):
            return f"{self.work_name} {self.state}"
        if self.is_undoing and self.state == self.State.CANCELLED:
            return f"{self.work_name} {self.state}"
        return self.get_state_display()

    @property
    def can_undo(self) -> bool:
        """Tell whether there is something to undo, and no work in progress."""
        resting = self.state in ("completed", "paused", "cancelled", "failed")
        return self.has_ledger and resting and not self.is_idle

    @property
    def is_idle(self) -> bool:
        """Tell whether the move ended and has changed nothing."""
        if self.state != self.State.COMPLETED or not self.summary:
            return False
        fates = {item["fate"] for item in self.report.get("resources", [])}
        # As of a record: PRESENT of move/batches.py, which builds upon this.
        changed = (self.summary.get(what) for what in ("stored", "created", "device_settings"))
        return not (any(changed) or fates - {"present"})

    @property
    def can_continue(self) -> bool:
        """Tell whether the move can be continued."""
        return bool(self.plan) and self.work == "move" and self.state in ("paused", "failed")

    @property
    def summary(self) -> JsonObject:
        """Return the sums of the report."""
        summary: JsonObject = self.report.get("summary", {})
        return summary


class CsvRequest(Leased):
    """A CSV export or import of a device, requested by an API client.

    The row is deleted when it is done: files next to the CSV file and the audit log tell the
    outcome.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"

    class Work(models.TextChoices):
        EXPORT = "export", "Export"
        IMPORT = "import", "Import"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    work = models.CharField(max_length=6, choices=Work.choices)
    device = models.CharField(max_length=24)
    path = models.TextField()
    # The id of the token that requested it; "" in messages of versions that did not send it.
    token = models.CharField(max_length=24, blank=True)
    # For exports: whether the file begins with headers, and the period, if it has one.
    headers = models.BooleanField(default=True)
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    # For imports: whether to store rows that the device already has.
    again = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = LeaseQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.work} of {self.path}"
