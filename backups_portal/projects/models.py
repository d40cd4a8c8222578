"""Isolated projects, their members, and their main databases and servers."""

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.lib.timezones import is_zone
from backups_portal.ui.visible_names import seen_name

if TYPE_CHECKING:
    from backups_portal.accounts.models import Account


# The last check of a server is valid for this long, as the process that checks may have died.
SEEN_COUNTS_FOR = timedelta(minutes=3)


class ServerManager(models.Manager["DatabaseServer"]):
    """All servers except removed ones, to which removed projects still refer."""

    def get_queryset(self) -> models.QuerySet["DatabaseServer"]:
        return super().get_queryset().filter(removed_at=None)

    def with_load(self) -> models.QuerySet["DatabaseServer"]:
        """Add `held`, the number of projects whose data a server has."""
        return self.annotate(held=Count("projects", filter=Q(projects__removed_at=None)))


class DatabaseServer(models.Model):
    """A PostgreSQL cluster that holds main databases."""

    name = models.CharField(max_length=100)
    # postgresql://role:password@host:port/database with the right to create databases and roles,
    # sealed with the installation's key.
    sealed_url = models.BinaryField()
    is_open = models.BooleanField("takes new projects", default=True)
    # Its share of new projects, relative to the other servers.
    weight = models.PositiveSmallIntegerField(default=100, validators=[MinValueValidator(1)])
    # The most projects' databases that it may hold; None: no limit.
    max_projects = models.PositiveIntegerField(null=True, blank=True)
    # The most snapshots of its projects that are taken at once; None: no limit.
    max_snapshots = models.PositiveSmallIntegerField(null=True, blank=True)
    # When it was last checked, since when it has not answered, and the error.
    checked_at = models.DateTimeField(null=True, editable=False)
    unreachable_since = models.DateTimeField(null=True, editable=False)
    trouble = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When it was removed from all lists.
    removed_at = models.DateTimeField(null=True, editable=False)

    objects = ServerManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(weight__gte=1), name="server_weight_positive"),
            models.UniqueConstraint(
                fields=["name"], condition=Q(removed_at=None), name="server_name_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def down_since(self) -> datetime | None:
        """Return since when the server is unreachable, by a recent check."""
        if self.checked_at is None or timezone.now() - self.checked_at > SEEN_COUNTS_FOR:
            return None
        return self.unreachable_since


class ProjectQuerySet(models.QuerySet["Project"]):
    """Selections of projects."""

    def of(self, account: "Account") -> "ProjectQuerySet":
        """Select projects that the account is a member of."""
        return self.filter(memberships__account=account)

    def active(self) -> "ProjectQuerySet":
        """Select projects whose instance runs."""
        return self.filter(state=Project.State.ACTIVE)

    def with_database(self) -> "ProjectQuerySet":
        """Select projects that have a main database, including shut-down ones.

        A project that was recovered from its backups has none, although its state is SHUT_DOWN.
        """
        ended = Q(state=Project.State.SHUT_DOWN, shut_down_at__isnull=False)
        return self.filter(Q(state=Project.State.ACTIVE) | ended)


class Project(models.Model):
    """One isolated instance: this row and a database of its own."""

    class State(models.TextChoices):
        ACTIVE = "active", "Running"
        SHUT_DOWN = "shut_down", "Shut down"
        # It has no members any more; the row stays for what still refers to it.
        REMOVED = "removed", "Removed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    # 8 hex digits with which every variable id and token of this project's database begins.
    prefix = models.CharField(max_length=8, unique=True)
    server = models.ForeignKey(DatabaseServer, models.PROTECT, related_name="projects")
    database = models.CharField(max_length=63)
    role = models.CharField(max_length=63)
    sealed_password = models.BinaryField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When it was shut down, which began its grace period.
    shut_down_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When the last of its data had been deleted, after the grace period.
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "created_by",
                name="project_name_unique_per_creator",
                condition=~Q(state="removed"),
            ),
            models.UniqueConstraint(fields=["server", "database"], name="project_database_unique"),
            models.CheckConstraint(
                condition=Q(prefix__regex=r"^[0-9a-f]{8}$"), name="project_prefix_is_hex"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="project_name_not_empty"),
        ]

    def __str__(self) -> str:
        return seen_name(self.name)

    @property
    def removed_after(self) -> datetime | None:
        """Return when a shut-down project's grace period ends."""
        if self.state != self.State.SHUT_DOWN or self.shut_down_at is None:
            return None
        return self.shut_down_at + settings.PROJECT_GRACE

    @property
    def profile_id(self) -> str:
        """Return the 24 hex digits of the project as a TagoIO profile."""
        return self.id.hex[:24]


class Membership(models.Model):
    """An account's role in a project."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        COLLABORATOR = "collaborator", "Collaborator"

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=12, choices=Role.choices)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "account"], name="membership_once")
        ]

    def __str__(self) -> str:
        return f"{self.account} is {self.role} of {self.project}"

    @property
    def is_open_owner(self) -> bool:
        """Tell whether this is an owner whose account is open."""
        return self.role == self.Role.OWNER and self.account.is_active


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Invitations, and whether they can be accepted."""

    def valid(self) -> "InvitationQuerySet":
        """Select those whose inviter may still admit members."""
        return self.filter(self._inviter_is_owner())

    def with_validity(self) -> "InvitationQuerySet":
        """Annotate `is_valid`: whether the inviter may still admit members."""
        return self.annotate(is_valid=self._inviter_is_owner())

    @staticmethod
    def _inviter_is_owner() -> Exists:
        return Exists(
            Membership.objects.filter(
                project=OuterRef("project"),
                account=OuterRef("invited_by"),
                account__is_active=True,
                role=Membership.Role.OWNER,
            )
        )


class Invitation(models.Model):
    """A membership that an owner offers to the account of an e-mail address.

    It grants nothing until that account accepts it, and does not reveal whether there is one.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="invitations")
    # In lower case, for comparison.
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=12, choices=Membership.Role.choices)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "email"], name="invitation_once")]
        indexes = [models.Index(fields=["email"], name="invitation_email")]

    def __str__(self) -> str:
        return f"{self.email} may become {self.role} of {self.project}"


class MainDatabase(models.Model):
    """A project's main database: its backup schedule, retention and proofs."""

    class ProofPolicy(models.TextChoices):
        EVERY = "every", "Every backup"
        WEEKLY = "weekly", "The newest, once a week"
        OFF = "off", "Off"

    project = models.OneToOneField(
        Project, models.CASCADE, primary_key=True, related_name="main_database"
    )
    backup_time = models.TimeField("Daily backup schedule")
    backup_time_zone = models.CharField("Time zone", max_length=64)
    retention_days = models.PositiveSmallIntegerField(
        "Backup retention period",
        default=7,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
    )
    # Which snapshots are automatically restored into a scratch database and compared.
    proof_policy = models.CharField(
        "Proof of backups", max_length=6, choices=ProofPolicy.choices, default=ProofPolicy.WEEKLY
    )
    # Whether the newest proof's database is kept for a restore of its snapshot to take over. It
    # costs the space of a second database, so only operators turn it on (command warm_restore).
    warm_restore = models.BooleanField(default=False)
    # When the tick takes the next snapshot, in UTC; None while the project is shut down.
    next_snapshot_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_snapshot_at"],
                name="main_database_due",
                condition=Q(next_snapshot_at__isnull=False),
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(retention_days__gte=1, retention_days__lte=365),
                name="main_database_retention_1_to_365",
            ),
            models.CheckConstraint(
                condition=Q(proof_policy__in=["every", "weekly", "off"]),
                name="main_database_proof_policy_known",
            ),
        ]

    def __str__(self) -> str:
        return f"main database of {self.project}"

    @property
    def has_known_zone(self) -> bool:
        """Tell whether its time zone still exists; else UTC is used."""
        return is_zone(self.backup_time_zone)


def plain_settings(database: MainDatabase) -> dict[str, object]:
    """Return the settings as plain values, for the audit log and the API."""
    return {
        "backup_time": f"{database.backup_time:%H:%M}",
        "backup_time_zone": database.backup_time_zone,
        "retention_days": database.retention_days,
        "proof_policy": database.proof_policy,
    }
