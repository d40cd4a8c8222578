"""Pages of an account's safety: the second factor, and the browsers that are signed in."""

from io import BytesIO
from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import TemplateView, View

from backups_portal.accounts.access_tokens import tokens_of
from backups_portal.accounts.forms import PasswordForm, TurnOnForm
from backups_portal.accounts.lockout_page import locked_page
from backups_portal.accounts.models import Account
from backups_portal.accounts.reauthentication import note_password
from backups_portal.accounts.sessions import end_others, end_session, sessions_of
from backups_portal.accounts.sign_in_limits import PASSWORD_AGAIN, take_for
from backups_portal.accounts.two_factor import (
    address_of_secret,
    codes_left,
    confirm,
    is_on,
    new_recovery_codes,
    prepare,
    secret_of,
    turn_off,
)
from backups_portal.audit.recorder import address_of, record
from backups_portal.ui.form_views import RefusingFormView

MASK = 0
NOT_YOURS = "Wrong password."
WRONG_CODE = "That code is wrong. Enter the current code from your app."


def account_of(request: HttpRequest) -> Account:
    """Return the account that is signed in, which the middleware demands."""
    assert isinstance(request.user, Account)  # noqa: S101 - what AUTH_USER_MODEL says
    return request.user


class SecurityView(TemplateView):
    """Show the account's second factor and sessions."""

    template_name = "accounts/security.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        account = account_of(self.request)
        return super().get_context_data(
            is_on=is_on(account),
            codes_left=codes_left(account),
            tokens=tokens_of(account).count(),
            sessions=sessions_of(account, self.request.session.session_key),
            **kwargs,
        )


class PasswordView(RefusingFormView):
    """A form that asks for the password again, so often and no oftener."""

    http_method_names = ["get", "head", "post"]
    form_class: type[forms.Form] = PasswordForm

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        account, address = account_of(request), address_of(request)
        if wait := take_for(PASSWORD_AGAIN, account, address):
            return locked_page(request, wait)
        form = self.get_form()
        if form.is_valid() and not account.check_password(form.cleaned_data["password"]):
            record(action="account.password_refused", actor=account, address=address)
            form.add_error("password", NOT_YOURS)
        if not form.is_valid():
            return self.form_invalid(form)
        PASSWORD_AGAIN.forget(str(account.pk))
        note_password(request)
        return self.form_valid(form)

    def show_codes(self, codes: list[str], action: str) -> HttpResponse:
        """Show the recovery codes, which no page can show again."""
        record(action=action, actor=account_of(self.request), address=address_of(self.request))
        response = render(self.request, "accounts/recovery_codes.html", {"codes": codes})
        response["Cache-Control"] = "no-store"
        return response


class PasswordAgainView(PasswordView):
    """Ask for the password alone, before a page that needs it."""

    template_name = "accounts/password_again.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(next=self._next(), **kwargs)

    def form_valid(self, form: PasswordForm) -> HttpResponse:
        return redirect(self._next() or "projects")

    def _next(self) -> str:
        """Return where to go back to, in this portal only."""
        url = self.request.POST.get("next") or self.request.GET.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            url, {self.request.get_host()}, require_https=self.request.is_secure()
        )
        return url if is_ours else ""


class TurnOnView(PasswordView):
    """Show the secret to an app, and turn codes on with one of its codes."""

    template_name = "accounts/second_factor.html"
    form_class = TurnOnForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        account = account_of(self.request)
        if is_on(account):
            return super().get_context_data(is_on=True, **kwargs)
        return super().get_context_data(is_on=False, secret=secret_of(prepare(account)), **kwargs)

    def form_valid(self, form: TurnOnForm) -> HttpResponse:
        codes = confirm(account_of(self.request), form.cleaned_data["code"])
        if codes is None:
            form.add_error("code", WRONG_CODE)
            return self.form_invalid(form)
        return self.show_codes(codes, "account.second_factor_on")


class SecretPictureView(View):
    """Draw the QR code apart: it takes as long as half of the page."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        account = account_of(request)
        if is_on(account):
            raise Http404
        # Any mask can be scanned; searching for the best of eight takes longer than the rest.
        code = segno.make(address_of_secret(prepare(account)), micro=False, mask=MASK)
        code.save(drawn := BytesIO(), kind="svg", border=2, omitsize=True)
        headers = {"Content-Type": "image/svg+xml", "Cache-Control": "no-store"}
        return HttpResponse(drawn.getvalue(), headers=headers)


class TurnOffView(PasswordView):
    """Turn the second factor off."""

    template_name = "accounts/second_factor_off.html"

    def form_valid(self, form: PasswordForm) -> HttpResponse:
        account = account_of(self.request)
        if turn_off(account):
            record(
                action="account.second_factor_off",
                actor=account,
                address=address_of(self.request),
            )
        messages.success(self.request, "Two-factor authentication is off.")
        return redirect("security")


class NewCodesView(PasswordView):
    """Replace the recovery codes."""

    template_name = "accounts/new_codes.html"

    def form_valid(self, form: PasswordForm) -> HttpResponse:
        account = account_of(self.request)
        if not is_on(account):
            return redirect("security")
        return self.show_codes(new_recovery_codes(account), "account.recovery_codes_renewed")


class EndSessionView(View):
    """Sign one other browser out."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, handle: str) -> HttpResponse:
        account = account_of(request)
        if ended := end_session(account, handle):
            record(
                action="session.ended",
                actor=account,
                subject=ended.device,
                details={"from": ended.address},
                address=address_of(request),
            )
        messages.success(request, "That browser was signed out.")
        return redirect("security")


class EndOthersView(View):
    """Sign all other browsers out."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        account = account_of(request)
        ended = end_others(account, request.session.session_key)
        record(
            action="session.others_ended",
            actor=account,
            details={"sessions": ended},
            address=address_of(request),
        )
        messages.success(request, "All other browsers were signed out.")
        return redirect("security")
