"""Sign in and out."""

from http import HTTPStatus
from typing import Any

from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from backups_portal.accounts.forms import SignInForm
from backups_portal.accounts.lockout_page import locked_page
from backups_portal.accounts.models import Account
from backups_portal.accounts.pending_sign_in import begin_second_step
from backups_portal.accounts.sign_in_limits import forgive_sign_in, take_sign_in
from backups_portal.accounts.two_factor import is_on
from backups_portal.audit.recorder import address_of, record


class SignInView(LoginView):
    """Sign in, with a code if required, and go where the visitor was going."""

    template_name = "accounts/sign_in.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Before the password is checked, so that right ones are found no faster than wrong ones.
        wait = take_sign_in(request.POST.get("username", ""), address_of(request))
        if wait:
            return locked_page(request, wait, next_url=self.get_redirect_url())
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        account = form.get_user()
        assert isinstance(account, Account)  # noqa: S101 - what AUTH_USER_MODEL says
        forgive_sign_in(account.email, address_of(self.request))
        if is_on(account):
            begin_second_step(self.request, account, next_url=self.get_redirect_url())
            return redirect("sign-in-code")
        login(self.request, account)
        record(action="session.signed_in", actor=account, address=address_of(self.request))
        return redirect(self.get_success_url())

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        record(
            action="session.refused",
            actor=None,
            subject=form.data.get("username", ""),
            address=address_of(self.request),
        )
        context = self.get_context_data(form=form)
        return self.render_to_response(context, status=HTTPStatus.BAD_REQUEST)


class SignOutView(LogoutView):
    """End the session, only by POST, so that no link can."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        account = request.user
        response = super().post(request, *args, **kwargs)
        if isinstance(account, Account):
            record(action="session.signed_out", actor=account, address=address_of(request))
        return response
