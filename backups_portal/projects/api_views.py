"""The page of a project's API: its tokens, address and client settings."""

from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.generic import View

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.projectdb.tokens import NAME_LENGTH
from backups_portal.projects.access import Permission, projects_with
from backups_portal.projects.client_configuration import (
    PLACEHOLDER,
    environment_of,
    snippets,
)
from backups_portal.projects.errors import DatabaseUnreachableError
from backups_portal.projects.forms import TokenForm
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.projects.profile_tokens import list_tokens, make_token, revoke_token
from backups_portal.ui.deferred_list import ListBehindMixin
from backups_portal.ui.form_views import RefusingFormView

UNREACHABLE = 503
# Other projects that the command line's configuration lists besides this one.
MAX_ENVIRONMENTS = 100
FILLED_IN = ("name", "permission", "lifetime")


class ApiView(ProjectPermissionMixin, RecentPasswordMixin, ListBehindMixin, RefusingFormView):
    """Lists profile tokens and makes new ones, whose values are shown once."""

    # Viewing the list needs no password.
    password_for = ("POST",)

    template_name = "projects/api/api.html"
    list_template_name = "projects/api/_token_list.html"
    permission = Permission.MANAGE_API
    form_class = TokenForm
    http_method_names = ["get", "head", "post", "options"]

    def get_initial(self) -> dict[str, object]:
        """Return what was filled in before the password was requested."""
        return {name: self.request.GET[name] for name in FILLED_IN if name in self.request.GET}

    def back_to(self) -> str:
        sent = self.request.POST
        filled_in = {name: sent[name][:NAME_LENGTH] for name in FILLED_IN if name in sent}
        return f"{self.request.path}?{urlencode(filled_in)}"

    def form_valid(self, form: TokenForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            token = make_token(
                project=self.project,
                actor=self.account,
                name=values["name"],
                permission=values["permission"],
                expires_at=form.expires_at(),
            )
        except DatabaseUnreachableError as error:
            context = self.get_context_data(failure=str(error), form=form)
            return self.render_to_response(context, status=UNREACHABLE)
        # Show an empty form, so that it does not suggest this name for the next token.
        return self.render_to_response(
            self.get_context_data(new_token=token.value, new_name=values["name"], form=TokenForm())
        )

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        """Describe the page, without waiting for the project's database."""
        new_token = str(kwargs.setdefault("new_token", ""))
        if self.is_list_wanted:
            kwargs |= self._listed()
        return super().get_context_data(
            api_url=settings.API_URL, **self._snippets(new_token or PLACEHOLDER), **kwargs
        )

    def _snippets(self, token: str) -> dict[str, object]:
        """Return the clients' configuration, with the account's other projects."""
        projects = projects_with(self.account, self.permission).exclude(pk=self.project.pk)
        others = list(projects.order_by("slug")[: MAX_ENVIRONMENTS + 1])
        found = snippets(
            api_url=settings.API_URL,
            environment=environment_of(self.project.slug),
            profile_id=self.project.profile_id,
            token=token,
            others={environment_of(one.slug): one.profile_id for one in others[:MAX_ENVIRONMENTS]},
        )
        most = MAX_ENVIRONMENTS if len(others) > MAX_ENVIRONMENTS else None
        return {"snippets": found, "most_environments": most}

    def _listed(self) -> dict[str, object]:
        try:
            return {"tokens": list_tokens(self.project)}
        except DatabaseUnreachableError as error:
            return {"unreachable": str(error)}


class RevokeTokenView(ProjectPermissionMixin, View):
    """Revokes a profile token."""

    permission = Permission.MANAGE_API
    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, token: str, **kwargs: object) -> HttpResponseBase:
        try:
            revoked = revoke_token(project=self.project, actor=self.account, token_id=token)
        except DatabaseUnreachableError as error:
            messages.error(request, f"{error} Nothing was revoked.")
            return self.back()
        if revoked is None:
            messages.info(request, "That token was already revoked.")
        else:
            messages.success(
                request, f"“{revoked.name}” is revoked. Anything that still uses it is refused."
            )
        return self.back()

    def back(self) -> HttpResponseRedirect:
        """Redirect to the list of tokens."""
        return redirect("api", self.project.slug)
