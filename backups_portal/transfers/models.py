"""Store the runs that move data between projects, and the CSV files that clients ask for."""

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

# For how long a transfer can be undone.
LEDGER_KEPT = timedelta(days=30)
# What a page calls the work, by itself and while it is done.
NOUNS = {"plan": "Dry run", "move": "Move", "undo": "Undo"}
UNDER_WAY = {"plan": "Dry run", "move": "Moving data", "undo": "Undoing"}


class TransferQuerySet(LeaseQuerySet):
    """Transfers as their readers need them."""

    def touching(self, project: Project) -> "TransferQuerySet":
        """Select those out of a project or into it, without their long columns."""
        return (
            self.filter(Q(source=project) | Q(target=project))
            .select_related("source", "target")
            .defer("plan", "report")
        )


class Transfer(Leased):
    """One run: first the dry run, then, once it was looked at, the move; perhaps its undoing."""

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

    # As the reader may read them; see projects/redaction.py.
    shown_source = shown_target = ANOTHER
    shown_reason = ""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A report outlives its projects, whose names it keeps.
    source = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="transfers_out")
    target = models.ForeignKey(Project, models.SET_NULL, null=True, related_name="transfers_in")
    source_name = models.CharField(max_length=100)
    target_name = models.CharField(max_length=100)
    # The owner who asked for the work at hand: a start, or an undoing, makes it the presser's.
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    # The system user whose command asked for it in the owner's name; "" if the owner did.
    operator = models.CharField(max_length=64, blank=True, default="", db_default="")
    # Bound to the account that sent it (`Account.bind_request_key`).
    request_key = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    work = models.CharField(max_length=5, choices=Work.choices, default=Work.PLAN)
    # What the owner wants of a run at work; it looks after every batch.
    wish = models.CharField(max_length=6, choices=Wish.choices, default=Wish.GO_ON)
    # The reason for programs; empty also if it failed before that was recorded.
    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True, default="", db_default="")

    choice = models.JSONField()
    plan = models.JSONField(default=dict)
    report = models.JSONField(default=dict)
    # What an undo has done, stored with each of its commits; the report, which is long, follows.
    undone = models.JSONField(null=True)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When the attempt at hand began to move rows, and how many were there already: its pace.
    moving_since = models.DateTimeField(null=True)
    rows_before = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    # Whether the target still has the ledger, which undo and the map of ids need; and until when.
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
        """Read what is to be moved."""
        return Choice.from_json(self.choice)

    @property
    def pace(self) -> Pace:
        """Return how fast the move goes and how long it will still take."""
        if self.state != self.State.RUNNING or self.moving_since is None:
            return Pace()
        elapsed = timezone.now() - self.moving_since
        left = None if self.rows_total is None else self.rows_total - self.rows_before
        return pace(self.rows_done - self.rows_before, left, elapsed)

    @property
    def has_begun(self) -> bool:
        """Tell whether something may have been moved, or taken back."""
        return self.started_at is not None

    @property
    def is_undoing(self) -> bool:
        """Tell whether it is taken back: its report of the target is history."""
        return self.work == self.Work.UNDO

    @property
    def work_name(self) -> str:
        """Name the work that was asked for last."""
        return NOUNS[self.work]

    @property
    def headline(self) -> str:
        """Say what is being done at the moment, or what came of it."""
        if self.state == self.State.RUNNING:
            return UNDER_WAY[self.work]
        if self.state in (self.State.QUEUED, self.State.FAILED):
            return f"{self.work_name} {self.state}"
        return self.get_state_display()

    @property
    def can_undo(self) -> bool:
        """Tell whether there is something to take back, and no work in progress."""
        resting = self.state in ("completed", "paused", "cancelled", "failed")
        return self.has_ledger and resting and not self.is_idle

    @property
    def is_idle(self) -> bool:
        """Tell whether the move ended and has changed nothing."""
        if self.state != self.State.COMPLETED or not self.summary:
            return False
        fates = {item["fate"] for item in self.report.get("resources", [])}
        # As of a record: PRESENT of move/batches.py, which builds upon this.
        return not (self.summary["stored"] or self.summary["created"] or fates - {"present"})

    @property
    def can_continue(self) -> bool:
        """Tell whether the move can go on."""
        return bool(self.plan) and self.work == "move" and self.state in ("paused", "failed")

    @property
    def summary(self) -> JsonObject:
        """Return the sums of the report."""
        summary: JsonObject = self.report.get("summary", {})
        return summary


class CsvRequest(Leased):
    """A device's records as CSV, in or out, that a client of its project asked for.

    The row is gone when it is done: files beside the CSV file and the audit log say what became
    of it.
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
    # Of the token that asked for it; "" in messages from before it was said.
    token = models.CharField(max_length=24, blank=True)
    # Of an export: whether it begins with headers, and whether it is of one period only.
    headers = models.BooleanField(default=True)
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    # Whether an import stores rows that the device has already.
    again = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = LeaseQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.work} of {self.path}"
