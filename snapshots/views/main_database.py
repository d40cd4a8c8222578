"""The Main Database page: what the database is, and when it is backed up."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.generic import FormView

from backups_portal.audit.reading import last_change_of_settings
from backups_portal.audit.services import address_of
from backups_portal.projects.access import Permission
from backups_portal.projects.errors import DatabaseUnreachableError
from backups_portal.projects.measuring import database_size
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.projects.models import MainDatabase
from backups_portal.ui.charts import trend
from snapshots.backup_settings import read_loaded, read_settings
from snapshots.errors import SettingsChangedMeanwhileError, SettingsRefusedError
from snapshots.forms import BackupSettingsForm
from snapshots.listing import growth_of
from snapshots.meanwhile import changed_of, only_meant
from snapshots.schedule import runs_from
from snapshots.services import change_backup_settings
from snapshots.shortening import Shortening, preview_shortening

RUNS = 3
READING = ("GET", "HEAD")
STAYS = (
    "Meanwhile {change.who} changed “{change.label}” from “{change.old}” to “{change.new}”, "
    "which stays."
)


class MainDatabaseView(ProjectPermissionMixin, FormView):
    """Members see the database; owners see its backup settings and change them."""

    template_name = "snapshots/main_database.html"
    form_class = BackupSettingsForm
    http_method_names = ["get", "head", "post"]

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        if request.method not in READING:
            self.permission = Permission.MANAGE_BACKUPS

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.GET.get("size") != "now":
            return super().get(request, *args, **kwargs)
        context = self._measured()
        if "HX-Request" in request.headers:
            return TemplateResponse(request, "snapshots/_size_now.html", context)
        return self.render_to_response(self.get_context_data(**context))

    def _measured(self) -> dict[str, Any]:
        """What the database takes now; the page itself does not wait for it."""
        try:
            return {"size_now": database_size(self.project)}
        except DatabaseUnreachableError as error:
            return {"size_failure": str(error)}

    def get_initial(self) -> dict[str, Any]:
        return BackupSettingsForm.values_of(self.project.main_database)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        database = self.project.main_database
        growth = growth_of(self.project)
        return super().get_context_data(
            database=database,
            measured=growth.newest,
            growth=trend(growth.sizes),
            row_growth=trend(growth.rows),
            runs=planned_runs(database),
            change=last_change_of_settings(self.project.pk),
            now=timezone.now(),
            **kwargs,
        )

    def form_valid(self, form: BackupSettingsForm) -> HttpResponse:
        database = self.project.main_database
        try:
            return self._change(form, database)
        except SettingsChangedMeanwhileError as refused:
            database.refresh_from_db()
            form.count_from(database, refused.errors)
            form.refuse(refused.errors)
            return self.form_invalid(form, status=409)
        except SettingsRefusedError as refused:
            form.refuse(refused.errors)
            return self.form_invalid(form)

    def _change(self, form: BackupSettingsForm, database: MainDatabase) -> HttpResponse:
        values, loaded = form.cleaned_data, read_loaded(form.loaded)
        if "keep" in self.request.POST:
            values["retention_days"] = loaded.get("retention_days", database.retention_days)
        meant = only_meant(database, self.account, read_settings(**values), loaded)
        if shortening := self._to_agree_with(meant.get("retention_days")):
            others = {name for name, value in meant.items() if getattr(database, name) != value}
            return self._ask(form, shortening, others - {"retention_days"})
        saved = change_backup_settings(
            database=database,
            actor=self.account,
            address=address_of(self.request),
            loaded=form.loaded,
            **values,
        )
        messages.success(self.request, "Your backup settings are saved.")
        left = {name: value for name, value in loaded.items() if name not in meant}
        for change in changed_of(saved, self.account, left):
            messages.info(self.request, STAYS.format(change=change))
        return redirect("main-database", self.project.slug)

    def _ask(
        self, form: BackupSettingsForm, shortening: Shortening, others: set[str]
    ) -> HttpResponse:
        context = self.get_context_data(form=form, shortening=shortening, has_others=bool(others))
        return TemplateResponse(self.request, "snapshots/confirm_retention.html", context)

    def _to_agree_with(self, days: int | None) -> Shortening | None:
        """What a shorter period would delete, unless the owner has seen it and agreed."""
        if days is None:
            return None
        shortening = preview_shortening(self.project.main_database, days, timezone.now())
        agreed = self.request.POST.get("agree", "")
        return None if shortening is None or shortening.is_agreed(agreed) else shortening

    def form_invalid(self, form: BackupSettingsForm, status: int = 400) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=status)


def planned_runs(database: MainDatabase) -> list[datetime]:
    """The next backups, in UTC, as the settings are now; none while none is planned."""
    first = database.next_snapshot_at
    if first is None:
        return []
    return runs_from(first, database.backup_time, database.backup_time_zone, count=RUNS)
