"""Change forgotten and known passwords."""

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

from backups_portal.accounts.forms import ChangePasswordForm, ForgottenForm, NewPasswordForm
from backups_portal.accounts.lockout_page import locked_page
from backups_portal.accounts.models import Account
from backups_portal.accounts.password_reset import account_of_link, can_send
from backups_portal.accounts.security_views import PasswordView, account_of
from backups_portal.accounts.sign_in_limits import RESET, take_reset, whose
from backups_portal.accounts.tasks import send_reset_link
from backups_portal.audit.recorder import address_of, record
from backups_portal.lib.loggers import get_logger
from backups_portal.ui.form_views import RefusingFormView

log = get_logger(__name__)

LINK = "new_password_link"


@method_decorator(login_not_required, name="dispatch")
class ForgottenView(RefusingFormView):
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
        # A few per address an hour: a visitor who asks again already has a message.
        if not RESET.take(whose(email)):
            record(action="account.link_wanted", actor=None, subject=email, address=address)
            try:
                send_reset_link.delay(email)
            except OperationalError:
                log.exception("the queue takes no messages")
                form.add_error(None, "We can't send e-mail right now. Try again in a few minutes.")
                return self.refuse(form, HTTPStatus.SERVICE_UNAVAILABLE)
        return render(self.request, "accounts/link_sent.html", {"email": email})


@method_decorator(login_not_required, name="dispatch")
class NewPasswordView(RefusingFormView):
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
        # This does not sign in: a second factor is still required.
        self.request.session.flush()
        record(
            action="account.password_reset", actor=self.account, address=address_of(self.request)
        )
        messages.success(self.request, "Your password was changed. Sign in with the new one.")
        return redirect("sign-in")


class ChangePasswordView(PasswordView):
    """Change the password, and sign all other browsers out."""

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
            self.request, "Your password was changed, and you were signed out everywhere else."
        )
        return redirect("security")
