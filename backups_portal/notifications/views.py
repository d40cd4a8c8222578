"""The page of a project's notifications: what is told and where to, and what came of it."""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.views.generic import FormView, View

from backups_portal.accounts.resetting import can_send
from backups_portal.audit.services import address_of
from backups_portal.lib.compiled import compiled
from backups_portal.notifications.changing import (
    Choice,
    change_notifications,
    renew_secret,
    request_test,
    settings_of,
)
from backups_portal.notifications.delivering import KEPT
from backups_portal.notifications.errors import NotificationsRefusedError
from backups_portal.notifications.forms import NotificationsForm
from backups_portal.notifications.models import Delivery, NotificationSettings
from backups_portal.notifications.tasks import enqueue_soon
from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin

DELIVERIES = 15
CONFLICT, TOO_MANY = 409, 429


@compiled
def _sent(project_id: UUID) -> QuerySet[Delivery]:
    sent = Delivery.objects.filter(project_id=project_id).order_by("-created_at", "-pk")
    return sent.select_related("account")


class NotificationsPage(ProjectPermissionMixin, FormView):
    """The page, and for its own refresh the list of what was sent."""

    permission = Permission.MANAGE_NOTIFICATIONS
    form_class = NotificationsForm

    def get_template_names(self) -> list[str]:
        refresh = self.request.method == "GET" and "HX-Request" in self.request.headers
        name = "_deliveries.html" if refresh else "notifications.html"
        return [f"notifications/{name}"]

    def get_initial(self) -> dict[str, Any]:
        return NotificationsForm.values_of(settings_of(self.project))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = _sent(self.project.pk).page(self.request.GET.get("page"), DELIVERIES)
        return super().get_context_data(
            page=page,
            is_under_way=any(delivery.state in Delivery.UNFINISHED for delivery in page),
            days_kept=KEPT.days,
            sends_email=can_send(),
            has_webhook=NotificationSettings.objects.filter(
                pk=self.project.pk, sealed_webhook_url__isnull=False
            ).exists(),
            zone=self.project.main_database.backup_time_zone,
            **kwargs,
        )

    def show(self, *, status: int = 200, **context: Any) -> HttpResponse:
        """The page; nobody's browser or proxy keeps what it shows."""
        response = self.render_to_response(self.get_context_data(**context), status=status)
        add_never_cache_headers(response)
        patch_vary_headers(response, ["HX-Request"])
        return response


class NotificationsView(NotificationsPage):
    """Shows the settings, and saves them; the secret of a new webhook is shown once."""

    http_method_names = ["get", "head", "post", "options"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show()

    def form_valid(self, form: NotificationsForm) -> HttpResponse:
        try:
            secret = change_notifications(
                project=self.project,
                actor=self.account,
                choice=Choice(**form.cleaned_data),
                address=address_of(self.request),
            )
        except NotificationsRefusedError as refused:
            form.add_error(refused.field, str(refused))
            return self.form_invalid(form)
        if secret:
            return self.show(secret=secret, form=form)
        messages.success(self.request, "Your notifications are saved.")
        return redirect("notifications", self.project.slug)

    def form_invalid(self, form: NotificationsForm) -> HttpResponse:
        return self.show(status=400, form=form)


class RenewSecretView(NotificationsPage):
    """Makes a new secret for the webhook, and shows it once."""

    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        secret = renew_secret(project=self.project, actor=self.account, address=address_of(request))
        form = NotificationsForm(initial=self.get_initial())
        if not secret:
            return self.show(status=CONFLICT, form=form, refusal="There is no webhook to sign for.")
        return self.show(secret=secret, form=form)


class SendTestView(ProjectPermissionMixin, View):
    """Sends a test to the owner who asks and to the webhook."""

    permission = Permission.MANAGE_NOTIFICATIONS
    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            made = request_test(
                project=self.project, actor=self.account, address=address_of(request)
            )
        except NotificationsRefusedError as refused:
            messages.error(request, str(refused))
            return redirect("notifications", self.project.slug)
        if made:
            transaction.on_commit(partial(enqueue_soon, made))
            messages.success(
                request, "A test is on its way: the list below says what became of it."
            )
        else:
            messages.error(
                request, "There is nowhere to send a test to: choose e-mail or a webhook."
            )
        return redirect("notifications", self.project.slug)
