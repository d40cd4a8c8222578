"""A new password: of who has forgotten it, and of who knows it."""

import logging
from http import HTTPStatus
from typing import Any

from celery.exceptions import OperationalError
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.views.generic import FormView

from backups_portal.accounts.forms import ChangePasswordForm, ForgottenForm, NewPasswordForm
from backups_portal.accounts.locked import locked_page
from backups_portal.accounts.models import Account
from backups_portal.accounts.resetting import account_of_link, can_send
from backups_portal.accounts.security_views import PasswordView, account_of
from backups_portal.accounts.tasks import send_reset_link
from backups_portal.accounts.throttling import RESET, take_reset, whose
from backups_portal.audit.services import address_of, record

log = logging.getLogger(__name__)

LINK = "new_password_link"


@method_decorator(login_not_required, name="dispatch")
class ForgottenView(FormView):
    """Asks for an address, and says the same whether it is somebody's or not."""

    template_name = "accounts/forgotten.html"
    form_class = ForgottenForm
    http_method_names = ["get", "head", "post"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(can_send=can_send(), **kwargs)

    def form_valid(self, form: ForgottenForm) -> HttpResponse:
        email, address = form.cleaned_data["email"], address_of(self.request)
        if not can_send():
            return self.form_invalid(form)
        if wait := take_reset(email, address):
            return locked_page(self.request, wait)
        # Of one address a few an hour; who asks again has a message already.
        if not RESET.take(whose(email)):
            record(action="account.link_wanted", actor=None, subject=email, address=address)
            try:
                send_reset_link.delay(email)
            except OperationalError:
                log.exception("the queue takes no messages")
                form.add_error(None, "No message can be sent now. Try again in a few minutes.")
                return self.show(form, HTTPStatus.SERVICE_UNAVAILABLE)
        return render(self.request, "accounts/link_sent.html", {"email": email})

    def form_invalid(self, form: ForgottenForm) -> HttpResponse:
        return self.show(form, HTTPStatus.BAD_REQUEST)

    def show(self, form: ForgottenForm, status: int) -> HttpResponse:
        """The page again, with what was wrong."""
        return self.render_to_response(self.get_context_data(form=form), status=status)


@method_decorator(login_not_required, name="dispatch")
class NewPasswordView(FormView):
    """Where the link leads. What it carries goes into the session, and out of the address."""

    template_name = "accounts/new_password.html"
    form_class = NewPasswordForm
    http_method_names = ["get", "head", "post"]
    account: Account

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "token" in request.GET:
            request.session[LINK] = [request.GET.get("account", ""), request.GET["token"]]
            return redirect("new-password")
        found = account_of_link(*request.session.get(LINK, ("", "")))
        if found is None:
            request.session.pop(LINK, None)
            return render(request, "accounts/link_over.html", status=HTTPStatus.GONE)
        self.account = found
        response = super().dispatch(request, *args, **kwargs)
        add_never_cache_headers(response)
        return response

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "account": self.account}

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:
        self.account.set_password(form.cleaned_data["new_password"])
        self.account.save(update_fields=["password"])
        # Nobody is signed in by it: a second factor is asked for as ever.
        self.request.session.flush()
        record(
            action="account.password_reset", actor=self.account, address=address_of(self.request)
        )
        messages.success(self.request, "Your password is changed. Sign in with the new one.")
        return redirect("sign-in")

    def form_invalid(self, form: NewPasswordForm) -> HttpResponse:
        context = self.get_context_data(form=form)
        return self.render_to_response(context, status=HTTPStatus.BAD_REQUEST)


class ChangePasswordView(PasswordView):
    """Changes the password, and signs all other browsers out."""

    template_name = "accounts/change_password.html"
    form_class = ChangePasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "account": account_of(self.request)}

    def form_valid(self, form: ChangePasswordForm) -> HttpResponse:
        account = account_of(self.request)
        account.set_password(form.cleaned_data["new_password"])
        account.save(update_fields=["password"])
        update_session_auth_hash(self.request, account)
        record(action="account.password_changed", actor=account, address=address_of(self.request))
        messages.success(
            self.request, "Your password is changed. All other browsers are signed out."
        )
        return redirect("security")
