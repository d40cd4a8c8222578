"""Ask for a code, the second step of signing in."""

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator

from backups_portal.accounts.forms import CodeForm
from backups_portal.accounts.lockout_page import locked_page
from backups_portal.accounts.models import Account
from backups_portal.accounts.pending_sign_in import KEY, awaited
from backups_portal.accounts.sign_in_limits import CODE, take_for
from backups_portal.accounts.two_factor import codes_left, spend
from backups_portal.audit.recorder import address_of, record
from backups_portal.ui.form_views import RefusingFormView

WRONG = "That code is wrong or was already used. Enter the current code from your app."


@method_decorator(login_not_required, name="dispatch")
class SignInCodeView(RefusingFormView):
    """Asks who has given the password for a code of the app, or a recovery code."""

    template_name = "accounts/sign_in_code.html"
    form_class = CodeForm
    http_method_names = ["get", "head", "post"]
    account: Account
    next_url: str

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        found = awaited(request)
        if found is None:
            # The visitor is signed in already, is too late, or gave no password.
            return redirect("sign-in")
        self.account, self.next_url = found
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wait = take_for(CODE, self.account, address_of(request))
        return locked_page(request, wait) if wait else super().post(request, *args, **kwargs)

    def form_valid(self, form: CodeForm) -> HttpResponse:
        kind = spend(self.account, form.cleaned_data["code"])
        if not kind:
            record(
                action="session.code_refused",
                actor=self.account,
                address=address_of(self.request),
            )
            form.add_error("code", WRONG)
            return self.form_invalid(form)
        CODE.forget(str(self.account.pk))
        del self.request.session[KEY]
        login(self.request, self.account)
        details: dict[str, Any] = {"code": kind}
        if kind == "recovery":
            details["recovery_codes_left"] = codes_left(self.account)
        record(
            action="session.signed_in",
            actor=self.account,
            details=details,
            address=address_of(self.request),
        )
        return redirect(self.next_url or resolve_url("projects"))
