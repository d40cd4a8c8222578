"""Let `Client.force_login` record its time as allauth does, which it bypasses."""

from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from backups_portal.accounts.models import Account


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest, user: Account, **_: object) -> None:
    """Record a sign-in that has no record yet."""
    if not get_authentication_records(request, user):
        record_authentication(request, user, method="password")
