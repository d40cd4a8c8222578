"""The notification settings of projects, and every message that was made by them."""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.audit_log import subject_in_words
from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.projects.models import Project
from backups_portal.ui import moments

REMINDER_DAYS = 7


class Kind(models.TextChoices):
    """What there is to tell."""

    FAILED = "failed", "Backup failed"
    MISSED = "missed", "Backup missed"
    SIZE = "size", "Backup unusually small"
    PROOF = "proof", "Proof failed"
    CHECK = "check", "Check not passed"
    RESTORE = "restore", "Restore finished"
    RUNNING = "running", "Restored project still running"
    OBJECTIVE = "objective", "Recovery objective"
    # For the heartbeat alone: nobody reads a message of every day that went well.
    STORED = "stored", "Backup stored"
    DIGEST = "digest", "Weekly digest"
    TEST = "test", "Test"


# Those that owners choose from.
CHOSEN = (
    *(Kind.FAILED, Kind.MISSED, Kind.SIZE, Kind.PROOF, Kind.CHECK, Kind.OBJECTIVE),
    *(Kind.RESTORE, Kind.RUNNING),
)


class NotificationSettings(models.Model):
    """What one project's owners are told, and where; a project without a row has the defaults."""

    project = models.OneToOneField(
        Project, models.CASCADE, primary_key=True, related_name="notification_settings"
    )
    by_email = models.BooleanField(default=True)
    # Kinds that nobody wants to hear of. Kept so, and not those wanted: what comes with a later
    # version is told until somebody says otherwise.
    muted = models.JSONField(default=list)
    reminder_days = models.PositiveSmallIntegerField(
        default=REMINDER_DAYS, validators=[MinValueValidator(1), MaxValueValidator(365)]
    )
    # When the next weekly digest is due; None: the owners want none.
    next_digest_at = models.DateTimeField(null=True)
    # Addresses, sealed with the installation's key: a program that has them can write there.
    sealed_webhook_url = models.BinaryField(null=True)
    sealed_webhook_secret = models.BinaryField(null=True)
    sealed_heartbeat_url = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(reminder_days__gte=1, reminder_days__lte=365),
                name="notification_reminder_1_to_365",
            ),
            models.CheckConstraint(
                condition=Q(sealed_webhook_url__isnull=True)
                | Q(sealed_webhook_secret__isnull=False),
                name="notification_webhook_has_secret",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_digest_at"],
                name="notification_digest_due",
                condition=Q(next_digest_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"notifications of {self.project}"


class Cursor(models.Model):
    """How far the audit log has been read; one row."""

    # A position in the chain of the audit log.
    position = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="notification_one_cursor")]

    def __str__(self) -> str:
        return f"read up to {self.position}"


class Delivery(Leased):
    """One message on its way over one channel; its id stays the same however often it is sent."""

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"
        HEARTBEAT = "heartbeat", "Heartbeat"

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        # Nobody is there to get it any more, or the address was taken away.
        DROPPED = "dropped", "Not sent"

    # Whether the reader of a page may read its subject.
    is_readable = False

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="deliveries")
    # The event of the audit log that it tells of.
    event_id = models.BigIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    # Whom an e-mail is for; the other channels are the project's.
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+"
    )
    # Written down when it was made, so that every try says the same; see messages.py.
    message = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Not to be tried before.
    retry_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["event_id", "channel", "project", "account"],
                name="delivery_once_per_event",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(channel="email", account__isnull=False)
                | Q(channel__in=["webhook", "heartbeat"], account__isnull=True),
                name="delivery_email_has_account",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["failed", "dropped"]) | ~Q(reason=""),
                name="delivery_failed_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"]) | Q(finished_at__isnull=False),
                name="delivery_ended_has_moment",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-created_at"], name="delivery_project_newest"),
            models.Index(fields=["created_at"], name="delivery_oldest"),
            models.Index(
                fields=["state", "lease_until"],
                name="delivery_unfinished",
                condition=Q(state__in=["queued", "running"]),
            ),
            models.Index(
                fields=["finished_at"], name="delivery_failed", condition=Q(state="failed")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {self.channel}: {self.state}"

    @property
    def subject(self) -> str:
        """Return in words what it is about, if that says more than its kind."""
        about = str(self.message.get("data", {}).get("subject", ""))
        return "" if self.kind == Kind.TEST else subject_in_words(about, moments.day)

    def may_be_read_by(self, account: Account) -> bool:
        """Tell whether its subject names no project of another owner."""
        return self.kind != Kind.RESTORE or self.account_id == account.pk
