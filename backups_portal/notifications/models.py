"""The notification settings of projects, and the messages they lead to."""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.audit_log import subject_in_words
from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.projects.database_dsn import keyring
from backups_portal.projects.models import Project
from backups_portal.ui import moments

REMINDER_DAYS = 7
# The purposes for which values of the settings are sealed.
WEBHOOK_URL = "webhook url"
WEBHOOK_SECRET = "webhook secret"  # noqa: S105 - names what is sealed, and is not a secret
HEARTBEAT_URL = "heartbeat url"


class Kind(models.TextChoices):
    """The kind of a notification."""

    FAILED = "failed", "Backup failed"
    MISSED = "missed", "Backup missed"
    SIZE = "size", "Backup unusually small"
    PROOF = "proof", "Proof failed"
    CHECK = "check", "Check not passed"
    RESTORE = "restore", "Restore finished"
    RUNNING = "running", "Restored project still running"
    OBJECTIVE = "objective", "Recovery objective"
    # For the heartbeat only: nobody reads a message for every day that went well.
    STORED = "stored", "Backup stored"
    DIGEST = "digest", "Weekly digest"
    TEST = "test", "Test"


# The kinds that owners can choose.
CHOSEN = (
    *(Kind.FAILED, Kind.MISSED, Kind.SIZE, Kind.PROOF, Kind.CHECK, Kind.OBJECTIVE),
    *(Kind.RESTORE, Kind.RUNNING),
)


class NotificationSettings(models.Model):
    """A project's notification settings; without a row, the defaults apply."""

    project = models.OneToOneField(
        Project, models.CASCADE, primary_key=True, related_name="notification_settings"
    )
    by_email = models.BooleanField(default=True)
    # Kinds that the owners turned off. Stored instead of the wanted ones, so that kinds of later
    # versions are reported until somebody turns them off.
    muted = models.JSONField(default=list)
    reminder_days = models.PositiveSmallIntegerField(
        default=REMINDER_DAYS, validators=[MinValueValidator(1), MaxValueValidator(365)]
    )
    # When the next weekly digest is due; None: the owners want none.
    next_digest_at = models.DateTimeField(null=True)
    # URLs, sealed with the installation's key: anybody who has one can send requests there.
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

    @property
    def webhook_url(self) -> str:
        """Return the URL that messages are posted to, or ""."""
        return _opened(self.sealed_webhook_url, WEBHOOK_URL)

    @property
    def webhook_secret(self) -> str:
        """Return the secret that signs messages, or ""."""
        return _opened(self.sealed_webhook_secret, WEBHOOK_SECRET)

    @property
    def heartbeat_url(self) -> str:
        """Return the URL that is requested after each stored backup, or ""."""
        return _opened(self.sealed_heartbeat_url, HEARTBEAT_URL)


def seal(plain: str, purpose: str) -> bytes | None:
    """Seal a text for a row of settings; None for an empty one."""
    return keyring().seal(plain, purpose) if plain else None


def _opened(sealed: bytes | memoryview | None, purpose: str) -> str:
    return keyring().open(sealed, purpose) if sealed else ""


class Cursor(models.Model):
    """The position up to which the audit log has been read, in a single row."""

    # A position in the chain of the audit log.
    position = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="notification_one_cursor")]

    def __str__(self) -> str:
        return f"read up to {self.position}"


class Delivery(Leased):
    """One message on one channel; its id stays the same in every attempt."""

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"
        HEARTBEAT = "heartbeat", "Heartbeat"

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        # It is no longer wanted: the recipient, the address or the setting is gone.
        DROPPED = "dropped", "Not sent"

    # Whether the reader of a page may see its subject.
    is_readable = False

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="deliveries")
    # The event of the audit log that it reports.
    event_id = models.BigIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    # The recipient of an e-mail; the other channels belong to the project.
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+"
    )
    # Stored when it is made, so that every attempt sends the same; see messages.py.
    message = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # No attempt is made before this.
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
        """Return its subject in words, if that says more than its kind."""
        about = str(self.message.get("data", {}).get("subject", ""))
        return "" if self.kind == Kind.TEST else subject_in_words(about, moments.day)

    def may_be_read_by(self, account: Account) -> bool:
        """Tell whether its subject names no project of another owner."""
        return self.kind != Kind.RESTORE or self.account_id == account.pk
