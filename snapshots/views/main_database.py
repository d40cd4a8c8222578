"""The Main Database page: its contents, and when it is backed up."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from backups_portal.audit.audit_log import last_change_of_settings
from backups_portal.projectdb.catalogue import RESOURCE_TABLES, VARIABLE
from backups_portal.projects.access import Permission
from backups_portal.projects.database_size import database_size
from backups_portal.projects.due_times import runs_from
from backups_portal.projects.errors import DatabaseUnreachableError
from backups_portal.projects.models import MainDatabase, plain_settings
from backups_portal.ui.charts import trend
from snapshots.forms import BackupSettingsForm
from snapshots.reports.database_growth import growth_of
from snapshots.retention.retention_preview import Shortening, preview_shortening
from snapshots.schedule.backup_settings import change_backup_settings, read_loaded, read_settings
from snapshots.schedule.edit_conflicts import backup_settings_of, only_meant
from snapshots.views.settings_view import SettingsView

RUNS = 3
READING = ("GET", "HEAD")


class MainDatabaseView(SettingsView):
    """Members see the database; owners also change its backup settings."""

    permission = Permission.VIEW_PROJECT
    template_name = "snapshots/main_database.html"
    form_class = BackupSettingsForm
    http_method_names = ["get", "head", "post"]

    def setup(self, request: HttpRequest, *args: object, **kwargs: object) -> None:
        super().setup(request, *args, **kwargs)
        if request.method not in READING:
            self.permission = Permission.MANAGE_BACKUPS

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.GET.get("size") != "now":
            return super().get(request, *args, **kwargs)
        context = self._measured()
        if "HX-Request" in request.headers:
            return TemplateResponse(request, "snapshots/_size_now.html", context)
        return self.render_to_response(self.get_context_data(**context))

    def _measured(self) -> dict[str, object]:
        """Measure the database now; the page is loaded without waiting for this."""
        try:
            return {"size_now": database_size(self.project)}
        except DatabaseUnreachableError as error:
            return {"size_failure": str(error)}

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        database = self.project.main_database
        growth = growth_of(self.project)
        return super().get_context_data(
            database=database,
            measured=growth.newest,
            kept=[table.label for table in (*RESOURCE_TABLES, VARIABLE)],
            growth=trend(growth.sizes, unit="bytes", zone=database.backup_time_zone),
            row_growth=trend(growth.rows, unit="rows", zone=database.backup_time_zone),
            runs=planned_runs(database),
            change=last_change_of_settings(self.project.pk),
            now=timezone.now(),
            **kwargs,
        )

    def current(self) -> dict[str, object]:
        return plain_settings(self.project.main_database)

    def change(self, form: BackupSettingsForm) -> HttpResponse:
        database = self.project.main_database
        values, zone = form.cleaned_data, database.backup_time_zone
        loaded = read_loaded(form.loaded, zone)
        if "keep" in self.request.POST:
            values["retention_days"] = loaded.get("retention_days", database.retention_days)
        wanted = read_settings(values, kept_zone=zone)
        meant = only_meant(backup_settings_of(database), self.account, wanted, loaded)
        if shortening := self._to_agree_with(meant.get("retention_days")):
            others = {name for name, value in meant.items() if getattr(database, name) != value}
            return self._ask(form, shortening, others - {"retention_days"})
        saved = change_backup_settings(
            database=database, actor=self.account, wanted=values, loaded=form.loaded
        )
        messages.success(self.request, _saved_message(saved))
        self.tell_what_stays(backup_settings_of(saved), loaded, meant)
        return redirect("main-database", self.project.slug)

    def _ask(
        self, form: BackupSettingsForm, shortening: Shortening, others: set[str]
    ) -> HttpResponse:
        context = self.get_context_data(form=form, shortening=shortening, has_others=bool(others))
        return TemplateResponse(self.request, "snapshots/confirm_retention.html", context)

    def _to_agree_with(self, days: int | None) -> Shortening | None:
        """Preview what a shorter period deletes, unless that is agreed to."""
        if days is None:
            return None
        shortening = preview_shortening(self.project.main_database, days, timezone.now())
        agreed = self.request.POST.get("agree", "")
        return None if shortening is None or shortening.is_agreed(agreed) else shortening


def _saved_message(saved: MainDatabase) -> str:
    planned = saved.next_snapshot_at
    is_due = planned is not None and planned <= timezone.now()
    due = " A backup is due now and starts shortly." if is_due else ""
    return f"Your backup settings are saved.{due}"


def planned_runs(database: MainDatabase) -> list[datetime]:
    """Return the next runs in UTC; empty if none is planned."""
    first = database.next_snapshot_at
    if first is None:
        return []
    return runs_from(first, database.backup_time, database.backup_time_zone, count=RUNS)
