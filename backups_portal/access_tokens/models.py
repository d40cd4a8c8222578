"""API tokens of accounts."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.access_tokens.scopes import Scope
from backups_portal.accounts.models import Account


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    """API tokens as their readers need them."""

    def unrevoked(self) -> "AccessTokenQuerySet":
        """Filter those that their page lists, also the ones that have expired."""
        return self.filter(revoked_at=None)


class AccessToken(models.Model):
    """A program's credential for the portal's API.

    The value itself is nowhere: only its keyed hash, by which it is looked up.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=100)
    digest = models.BinaryField(max_length=32, unique=True)
    last_four = models.CharField(max_length=4)
    scopes = ArrayField(models.CharField(max_length=20))
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True)
    # Exact to a minute.
    last_used_at = models.DateTimeField(null=True)
    # Its row stays, so that a program that uses it afterwards is known by its name.
    revoked_at = models.DateTimeField(null=True)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        # As it was called among the accounts: the version before goes on reading it.
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
        """Tell whether its time is over."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def scope_labels(self) -> list[str]:
        """Say in words what it may do."""
        return [Scope(scope).label for scope in self.scopes]
