"""The pages of an account's protection, second factor and sessions."""

from typing import Any

from allauth.account.stages import LoginStageController
from allauth.account.views import PasswordChangeView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView
from allauth.mfa.stages import AuthenticateStage
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.generic import FormView, TemplateView, View
from ua_parser import parse

from backups_portal.accounts.account_adapter import codes_left
from backups_portal.accounts.models import Account
from backups_portal.accounts.second_factor import asks_for_code
from backups_portal.audit.recorder import record


def account_of(request: HttpRequest) -> Account:
    """Return the signed-in account, which the middleware requires."""
    assert isinstance(request.user, Account)  # noqa: S101 - what AUTH_USER_MODEL says
    return request.user


def device_of(user_agent: str) -> str:
    """Name a browser and its system for people."""
    found = parse(user_agent)
    names = [part.family for part in (found.user_agent, found.os) if part]
    return " on ".join(names) or "Unknown browser"


@method_decorator(login_not_required, name="dispatch")
class CodeView(AuthenticateView):
    """Asks for the second factor, if the account still has one."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        stage = LoginStageController.enter(request, AuthenticateStage.key)
        if stage and not (stage.login.user and asks_for_code(stage.login.user)):
            # An operator has since removed the factor or the account: allauth would loop back here.
            messages.info(request, "Sign in once more.")
            response: HttpResponse = stage.abort()
            return response
        return super().dispatch(request, *args, **kwargs)


class ChangePasswordView(PasswordChangeView):
    """Changes the password and records it in one transaction.

    The form is checked outside of it: a lockout records an event, which must outlast its exception.
    """

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        return response


class RecordedFormView(FormView):
    """Processes a form and records it as `action`, in one transaction."""

    action: str

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        record(action=self.action, actor=account_of(self.request))
        return response


class TurnOnView(RecordedFormView, ActivateTOTPView):
    """Turns two-factor authentication on."""

    action = "account.second_factor_on"


class NewCodesView(RecordedFormView, GenerateRecoveryCodesView):
    """Replaces the recovery codes."""

    action = "account.recovery_codes_renewed"


class SecurityView(TemplateView):
    """Shows how the account signs in, and where it is signed in."""

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
    """Signs one other browser out."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, session: int) -> HttpResponse:
        account = account_of(request)
        found = UserSession.objects.filter(user=account, pk=session).first()
        if found and not found.is_current():
            with transaction.atomic():
                found.end()
                record(
                    action="session.ended",
                    actor=account,
                    subject=device_of(found.user_agent),
                    details={"from": found.ip},
                )
        messages.success(request, "That browser was signed out.")
        return redirect("security")
