"""API tokens of accounts."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.access_tokens.scopes import Scope
from backups_portal.accounts.models import Account


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    """API tokens."""

    def unrevoked(self) -> "AccessTokenQuerySet":
        """Keep the tokens that were not revoked, including expired ones."""
        return self.filter(revoked_at=None)


class AccessToken(models.Model):
    """A program's credential for the portal's API.

    The value itself is not stored: a token is looked up by its keyed hash.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=100)
    digest = models.BinaryField(max_length=32, unique=True)
    last_four = models.CharField(max_length=4)
    scopes = ArrayField(models.CharField(max_length=20))
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True)
    # To the minute.
    last_used_at = models.DateTimeField(null=True)
    # The row is kept, so that the log can name a program that still uses the token.
    revoked_at = models.DateTimeField(null=True)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        # The name from when this was in the accounts app: the previous version still reads it.
        db_table = "accounts_accesstoken"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                "account",
                Lower("name"),
                condition=Q(revoked_at=None),
                name="access_token_name_unique_per_account",
            ),
            models.CheckConstraint(
                condition=Q(scopes__contained_by=Scope.values, scopes__len__gte=1),
                name="access_token_has_known_scopes",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="access_token_name_not_empty"),
        ]

    def __str__(self) -> str:
        return f"API token {self.name}"

    @property
    def has_expired(self) -> bool:
        """Tell whether its lifetime is over."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def scope_labels(self) -> list[str]:
        """Return the labels of its scopes."""
        return [Scope(scope).label for scope in self.scopes]
