"""Signing in and out."""

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse

from backups_portal.accounts.forms import SignInForm
from backups_portal.accounts.models import Account
from backups_portal.audit.services import address_of, record


class SignInView(LoginView):
    """Signs in, then goes back to where the visitor was going."""

    template_name = "accounts/sign_in.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        record(action="session.signed_in", actor=form.get_user(), address=address_of(self.request))
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        record(
            action="session.refused",
            actor=None,
            subject=form.data.get("username", ""),
            address=address_of(self.request),
        )
        return self.render_to_response(self.get_context_data(form=form), status=400)


class SignOutView(LogoutView):
    """Ends the session; only by POST, so that no other page can do it by a link."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        account = request.user
        response = super().post(request, *args, **kwargs)
        if isinstance(account, Account):
            record(action="session.signed_out", actor=account, address=address_of(request))
        return response
