"""The page of an account's safety, and how a browser is signed out elsewhere."""

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.generic import TemplateView, View
from ua_parser import parse

from backups_portal.accounts.account_adapter import codes_left
from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import address_of, record


def account_of(request: HttpRequest) -> Account:
    """Return the account that is signed in, which the middleware demands."""
    assert isinstance(request.user, Account)  # noqa: S101 - what AUTH_USER_MODEL says
    return request.user


def device_of(user_agent: str) -> str:
    """Name a browser and its system for people."""
    found = parse(user_agent)
    names = [part.family for part in (found.user_agent, found.os) if part]
    return " on ".join(names) or "Unknown browser"


class SecurityView(TemplateView):
    """Show how the account signs in, and where it is signed in."""

    template_name = "accounts/security.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        account = account_of(self.request)
        factors = Authenticator.objects.filter(user=account).order_by("created_at")
        sessions = UserSession.objects.purge_and_list(account)
        return super().get_context_data(
            has_app=any(one.type == Authenticator.Type.TOTP for one in factors),
            passkeys=[one for one in factors if one.type == Authenticator.Type.WEBAUTHN],
            codes_left=codes_left(account),
            has_codes=any(one.type == Authenticator.Type.RECOVERY_CODES for one in factors),
            is_joined=SocialAccount.objects.filter(user=account).exists(),
            settings=settings,
            device_of=device_of,
            sessions=sorted(
                sessions, key=lambda one: (not one.is_current(), -one.last_seen_at.timestamp())
            ),
            **kwargs,
        )


class EndSessionView(View):
    """Sign one other browser out."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, session: int) -> HttpResponse:
        account = account_of(request)
        found = UserSession.objects.filter(user=account, pk=session).first()
        if found and not found.is_current():
            found.end()
            record(
                action="session.ended",
                actor=account,
                subject=device_of(found.user_agent),
                details={"from": found.ip},
                address=address_of(request),
            )
        messages.success(request, "That browser was signed out.")
        return redirect("security")
