"""The page that shuts a project down, and the way back."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.views.generic import View

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.billing.statement import statement
from backups_portal.projects.access import Permission
from backups_portal.projects.errors import ShutDownRefusedError
from backups_portal.projects.forms import ShutDownForm
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.projects.shutdown import shut_down, start_again
from backups_portal.ui.form_views import RefusingFormView


class ShutDownView(ProjectPermissionMixin, RecentPasswordMixin, RefusingFormView):
    """Says what ends and what stays, and asks for the project's name."""

    template_name = "projects/shut_down.html"
    permission = Permission.MANAGE_PROJECT
    form_class = ShutDownForm
    http_method_names = ["get", "head", "post", "options"]

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(
            statement=statement(self.project.pk, timezone.now()),
            quote=current_quote(),
            grace_days=settings.PROJECT_GRACE.days,
            **kwargs,
        )

    def form_valid(self, form: ShutDownForm) -> HttpResponse:
        shut_down(project=self.project, actor=self.account, typed_name=form.cleaned_data["name"])
        messages.success(
            self.request, f"{self.project} is shut down, and no longer costs anything."
        )
        return redirect("project", self.project.slug)


class StartAgainView(ProjectPermissionMixin, View):
    """Starts a project that was shut down."""

    permission = Permission.MANAGE_PROJECT
    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            start_again(
                project=self.project, actor=self.account, shown_terms=request.POST.get("quote", "")
            )
        except ShutDownRefusedError as refused:
            messages.error(request, str(refused))
        else:
            messages.success(
                request, f"{self.project} is running again, and is charged again from now on."
            )
        return redirect("project", self.project.slug)
