"""The page of a project's notification settings and latest deliveries."""

from functools import partial

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.generic import View

from backups_portal.accounts.password_reset import can_send
from backups_portal.notifications.delivery import KEPT
from backups_portal.notifications.errors import NotificationsRefusedError
from backups_portal.notifications.forms import NotificationsForm
from backups_portal.notifications.models import Delivery, NotificationSettings
from backups_portal.notifications.notification_settings import (
    Choice,
    change_notifications,
    renew_secret,
    request_test,
    settings_of,
)
from backups_portal.notifications.tasks import enqueue_soon
from backups_portal.projects.access import Permission
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui.deferred_list import ListBehindMixin
from backups_portal.ui.form_views import RefusingFormView

DELIVERIES = 15
CONFLICT = 409


class NotificationsPage(ProjectPermissionMixin, ListBehindMixin, RefusingFormView):
    """The page, or only its list of deliveries for an htmx refresh."""

    template_name = "notifications/notifications.html"
    list_template_name = "notifications/_deliveries.html"
    permission = Permission.MANAGE_NOTIFICATIONS
    form_class = NotificationsForm

    def get_initial(self) -> dict[str, object]:
        return NotificationsForm.values_of(settings_of(self.project))

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        sent = Delivery.objects.filter(project=self.project).order_by("-created_at", "-pk")
        page = Paginator(sent.select_related("account"), DELIVERIES).get_page(
            self.request.GET.get("page")
        )
        for delivery in page:
            delivery.is_readable = delivery.may_be_read_by(self.account)
        return super().get_context_data(
            page=page,
            is_under_way=any(delivery.state in Delivery.UNFINISHED for delivery in page),
            days_kept=KEPT.days,
            sends_email=can_send(),
            has_webhook=NotificationSettings.objects.filter(
                pk=self.project.pk, sealed_webhook_url__isnull=False
            ).exists(),
            **kwargs,
        )

    def show(self, *, status: int = 200, **context: object) -> HttpResponse:
        """Render the page."""
        return self.render_to_response(self.get_context_data(**context), status=status)


class NotificationsView(NotificationsPage):
    """Shows and saves the settings; shows a new webhook's secret once."""

    http_method_names = ["get", "head", "post", "options"]

    def form_valid(self, form: NotificationsForm) -> HttpResponse:
        secret = change_notifications(
            project=self.project, actor=self.account, choice=Choice(**form.cleaned_data)
        )
        if secret:
            return self.show(secret=secret, form=form)
        messages.success(self.request, "Your notification settings are saved.")
        return redirect("notifications", self.project.slug)


class RenewSecretView(NotificationsPage):
    """Makes a new secret for the webhook, and shows it once."""

    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        secret = renew_secret(project=self.project, actor=self.account)
        form = NotificationsForm(initial=self.get_initial())
        if not secret:
            refusal = "There is no webhook to sign messages for."
            return self.show(status=CONFLICT, form=form, refusal=refusal)
        return self.show(secret=secret, form=form)


class SendTestView(ProjectPermissionMixin, View):
    """Sends a test to the requesting owner and to the webhook."""

    permission = Permission.MANAGE_NOTIFICATIONS
    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            made = request_test(project=self.project, actor=self.account)
        except NotificationsRefusedError as refused:
            messages.error(request, str(refused))
            return redirect("notifications", self.project.slug)
        if made:
            transaction.on_commit(partial(enqueue_soon, made))
            messages.success(
                request, "A test is on its way. The list below shows whether it arrived."
            )
        else:
            messages.error(request, self.nowhere())
        return redirect("notifications", self.project.slug)

    def nowhere(self) -> str:
        """Explain why there is nowhere to send a test."""
        if settings_of(self.project).by_email and not can_send():
            return (
                "E-mail is chosen, but this portal can't send any: no mail server is set up. "
                "Enter a webhook and save it to send a test."
            )
        return (
            "There is nowhere to send a test. Tick “E-mail every owner” or enter a webhook, then "
            "save."
        )
