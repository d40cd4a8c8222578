"""Replace a forgotten password by a link sent to the account's address."""

from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes, force_str
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from backups_portal.accounts.models import Account

SUBJECT = "Reset your Backups Portal password"


def can_send() -> bool:
    """Tell whether this portal sends messages at all."""
    return bool(settings.EMAIL_HOST)


def send_link(email: str) -> bool:
    """Send a link, which works for an hour; False if there is no account.

    Raises:
        OSError: the mail server did not take the message (smtplib's errors are OSErrors).
    """
    account = Account.objects.filter(email__iexact=email, is_active=True).first()
    if account is None:
        return False
    query = urlencode(
        {
            "account": urlsafe_base64_encode(force_bytes(account.pk)),
            "token": default_token_generator.make_token(account),
        }
    )
    link = f"{settings.PORTAL_URL}{reverse('new-password')}?{query}"
    context = {"link": link, "minutes": settings.PASSWORD_RESET_TIMEOUT // 60}
    body = render_to_string("accounts/reset.txt", context)
    send_mail(SUBJECT, body, None, [account.email])
    return True


def account_of_link(account: str, token: str) -> Account | None:
    """Return whose link it is; None if used, too old, or never sent."""
    try:
        number = int(force_str(urlsafe_base64_decode(account)))
    except ValueError:
        return None
    # No account can have an id that its column cannot hold.
    is_possible = 0 < number < 2**63
    found = Account.objects.filter(pk=number, is_active=True).first() if is_possible else None
    return found if found and default_token_generator.check_token(found, token) else None
