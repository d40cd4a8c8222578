"""Accounts and their API tokens; how people sign in is stored by allauth."""

from typing import ClassVar

from allauth.account.models import EmailAddress
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.accounts.scopes import Scope
from backups_portal.ui.visible_names import is_seen, seen_name


class AccountManager(BaseUserManager["Account"]):
    """Create accounts, and find them by e-mail in any case."""

    def create_user(self, email: str, password: str, *, name: str = "") -> "Account":
        """Make an account that can sign in."""
        account = self.model(email=self.normalize_email(email), name=name)
        account.set_password(password)
        account.save(using=self._db)
        account.vouch_for_email()
        return account

    def get_by_natural_key(self, username: str | None) -> "Account":
        return self.get(email__iexact=username)


class Account(AbstractBaseUser):
    """A person who signs in with e-mail and password."""

    email = models.EmailField("e-mail", max_length=254, unique=True)
    name = models.CharField(max_length=100, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = AccountManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="account_email_unique")]

    def __str__(self) -> str:
        return seen_name(self.name) if is_seen(self.name) else self.email

    def vouch_for_email(self) -> None:
        """Let allauth know the address as confirmed: who made the account vouches for it."""
        email = self.email.lower()
        EmailAddress.objects.filter(user=self).exclude(email=email).update(primary=False)
        EmailAddress.objects.update_or_create(
            user=self, email=email, defaults={"verified": True, "primary": True}
        )


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
