"""The reset of a forgotten password, by a link sent to the account's address."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.account.views import PasswordResetFromKeyView
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy
from django.utils.cache import add_never_cache_headers

from backups_portal.accounts.models import Account

View = Callable[..., HttpResponseBase]


def can_send() -> bool:
    """Tell whether this portal can send mail."""
    return bool(settings.EMAIL_HOST)


def send_link(email: str) -> bool:
    """Send a link that works for an hour; return False if there is no account.

    Raises:
        OSError: the mail server did not take the message (smtplib's errors are OSErrors).
    """
    account = Account.objects.filter(email__iexact=email, is_active=True).first()
    if account is None or not settings.PASSWORD_SIGN_IN:
        return False
    key = f"{user_pk_to_url_str(account)}-{default_token_generator.make_token(account)}"
    link = get_adapter().get_reset_password_from_key_url(key)
    context = {"link": link, "minutes": settings.PASSWORD_RESET_TIMEOUT // 60}
    get_adapter().render_mail("account/email/password_reset_key", account.email, context).send()
    return True


def needs_passwords(view: View) -> View:
    """Wrap a view so that it raises Http404 if passwords are turned off."""

    @wraps(view)
    def enter(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not settings.PASSWORD_SIGN_IN:
            raise Http404("passwords are turned off")
        return view(request, *args, **kwargs)

    return enter


class NewPasswordView(PasswordResetFromKeyView):
    """Asks for the new password; allauth moves the link's key into the session."""

    success_url = reverse_lazy("account_login")

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        if context.get("token_fail"):
            kwargs["status"] = HTTPStatus.GONE
        response = super().render_to_response(context, **kwargs)
        add_never_cache_headers(response)
        return response
