"""The pages of an account's API tokens."""

from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.generic import FormView, TemplateView, View

from backups_portal.accounts.access_tokens import (
    NameTakenError,
    make_access_token,
    revoke_access_token,
    tokens_of,
)
from backups_portal.accounts.forms import AccessTokenForm
from backups_portal.accounts.recent import RecentPasswordMixin
from backups_portal.accounts.security_views import account_of
from backups_portal.audit.services import address_of


class AccessTokensView(TemplateView):
    """Lists them, with what each may do and when it was used."""

    template_name = "accounts/access_tokens.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(tokens=tokens_of(account_of(self.request)), **kwargs)


class NewAccessTokenView(RecentPasswordMixin, FormView):
    """Makes one, and shows its value once."""

    template_name = "accounts/new_access_token.html"
    form_class = AccessTokenForm
    http_method_names = ["get", "head", "post"]

    def form_valid(self, form: AccessTokenForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            token = make_access_token(
                account=account_of(self.request),
                name=values["name"],
                scopes=values["scopes"],
                expires_at=form.expires_at(),
                address=address_of(self.request),
            )
        except NameTakenError as refused:
            form.add_error("name", str(refused))
            return self.form_invalid(form)
        context = {"token": token.row, "value": token.value}
        response = render(self.request, "accounts/access_token_made.html", context)
        add_never_cache_headers(response)
        return response

    def form_invalid(self, form: AccessTokenForm) -> HttpResponse:
        context = self.get_context_data(form=form)
        return self.render_to_response(context, status=HTTPStatus.BAD_REQUEST)


class RevokeAccessTokenView(View):
    """Makes one worth nothing."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, access_token: int) -> HttpResponse:
        token = revoke_access_token(
            account=account_of(request), token_id=access_token, address=address_of(request)
        )
        if token is None:
            messages.info(request, "That token is gone already.")
        else:
            messages.success(request, f"“{token.name}” is revoked: nothing works with it any more.")
        return redirect("access-tokens")
