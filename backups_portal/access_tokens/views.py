"""The pages of an account's API tokens."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.generic import TemplateView, View

from backups_portal.access_tokens.forms import AccessTokenForm
from backups_portal.access_tokens.issued_tokens import (
    make_access_token,
    revoke_access_token,
    tokens_of,
)
from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.accounts.security_views import account_of
from backups_portal.ui.form_views import RefusingFormView


class AccessTokensView(TemplateView):
    """The list of tokens, with scopes and last use."""

    template_name = "access_tokens/list.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(tokens=tokens_of(account_of(self.request)), **kwargs)


class NewAccessTokenView(RecentPasswordMixin, RefusingFormView):
    """The form for a new token, whose value is shown once."""

    template_name = "access_tokens/new.html"
    form_class = AccessTokenForm
    http_method_names = ["get", "head", "post"]

    def form_valid(self, form: AccessTokenForm) -> HttpResponse:
        values = form.cleaned_data
        token = make_access_token(
            account=account_of(self.request),
            name=values["name"],
            scopes=values["scopes"],
            expires_at=form.expires_at(),
        )
        context = {"token": token.row, "value": token.value}
        response = render(self.request, "access_tokens/made.html", context)
        add_never_cache_headers(response)
        return response


class RevokeAccessTokenView(View):
    """The action to revoke a token."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, access_token: int) -> HttpResponse:
        token = revoke_access_token(account=account_of(request), token_id=access_token)
        if token is None:
            messages.info(request, "That token was already revoked.")
        else:
            messages.success(
                request, f"“{token.name}” is revoked. Anything that still uses it is refused."
            )
        return redirect("access-tokens")
