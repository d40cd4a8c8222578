"""The append-only audit log, with plain ids and copied names in place of foreign keys."""

from django.db import models
from django.db.models import Q
from django.utils import timezone


class AuditEvent(models.Model):
    """One audit event, which outlives the project and the account that it names."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    action = models.CharField(max_length=60)
    account_id = models.BigIntegerField(null=True)
    account_email = models.CharField(max_length=254, blank=True)
    project_id = models.UUIDField(null=True)
    project_name = models.CharField(max_length=100, blank=True)
    subject = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)
    # Its place in the hash chain and its seal; both None until sealed, about a minute later.
    position = models.BigIntegerField(null=True, unique=True, editable=False)
    seal = models.BinaryField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["project_id", "-at"], name="audit_project_at"),
            # For the last change to a project's settings, which its page shows.
            models.Index(
                fields=["project_id", "-at", "-id"],
                name="audit_settings_changed",
                condition=Q(action="settings.changed"),
            ),
            models.Index(fields=["id"], name="audit_unsealed", condition=Q(position=None)),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.who or 'system'} {self.action}"

    @property
    def who(self) -> str:
        """Name the account, or the operator of a command; "" for the system."""
        system_user = self.details.get("system_user")
        return self.account_email or (f"operator ({system_user})" if system_user else "")
