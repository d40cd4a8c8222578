"""Accounts; allauth stores how people sign in."""

import uuid
from typing import ClassVar

from allauth.account.models import EmailAddress
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from backups_portal.audit.recorder import record
from backups_portal.lib.refusals import RefusedError
from backups_portal.ui.visible_names import is_seen, seen_name


class AccountManager(BaseUserManager["Account"]):
    """Creates accounts, and finds them by e-mail, ignoring case."""

    def create_user(self, email: str, password: str, *, name: str = "") -> "Account":
        """Make an account that can sign in."""
        account = self.model(email=self.normalize_email(email), name=name)
        account.set_password(password)
        account.save(using=self._db)
        account.vouch_for_email()
        return account

    def named(self, email: str) -> "Account":
        """Return the account of an e-mail that an operator has entered.

        Raises:
            RefusedError: there is none.
        """
        account = self.filter(email__iexact=email).first()
        if account is None:
            raise RefusedError(f"There is no account {email}.")
        return account

    def named_owner(self, email: str) -> "Account":
        """Return the account that an operator names to own new projects.

        Raises:
            RefusedError: there is none, or nobody can sign in to it.
        """
        account = self.named(email)
        if not account.is_active:
            raise RefusedError(
                f"The account {account.email} is closed. Reopen it first: `close_account --reopen`."
            )
        return account

    def get_by_natural_key(self, username: str | None) -> "Account":
        return self.get(email__iexact=username)


class Account(AbstractBaseUser):
    """A person who can sign in."""

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

    def bind_request_key(self, key: uuid.UUID) -> uuid.UUID:
        """Bind an idempotency key to this account, so that no other can claim it."""
        return uuid.uuid5(key, str(self.pk))

    def record(self, action: str, **details: object) -> None:
        """Record an action of an operator, or of the portal, on this account."""
        details = {"account": self.pk, **details}
        record(action=action, actor=None, subject=self.email, details=details)

    def end_email_change(self) -> None:
        """Cancel a pending change of e-mail, so that nobody can use its link."""
        EmailAddress.objects.filter(user=self, verified=False).delete()

    def vouch_for_email(self) -> None:
        """Mark the address as verified: the account's creator vouches for it."""
        email = self.email.lower()
        EmailAddress.objects.filter(user=self).exclude(email=email).update(primary=False)
        EmailAddress.objects.update_or_create(
            user=self, email=email, defaults={"verified": True, "primary": True}
        )
