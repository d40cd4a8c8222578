"""The pages that show a project's objectives."""

from datetime import timedelta

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from backups_portal.audit.audit_log import last_change_of_settings
from backups_portal.objectives.forms import ObjectivesForm
from backups_portal.objectives.objective_report import breaches_of
from backups_portal.objectives.objective_settings import (
    ACTION,
    change_objectives,
    objectives_of,
    read_loaded,
    read_objectives,
    recorded_objectives,
)
from backups_portal.objectives.objective_warnings import warnings_of
from backups_portal.objectives.standings import standings_of
from snapshots.schedule.edit_conflicts import only_meant
from snapshots.views.main_database import MainDatabaseView
from snapshots.views.settings_view import SettingsView

HISTORY = timedelta(days=90)
BREACHES = 15


class ObjectivesView(SettingsView):
    """Shows the objectives with their standings and breaches; saves them."""

    form_class = ObjectivesForm
    template_name = "objectives/objectives.html"
    http_method_names = ["get", "head", "post"]

    def current(self) -> dict[str, int | None]:
        return objectives_of(self.project.pk)

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        now, database = timezone.now(), self.project.main_database
        past = breaches_of(self.project, now - HISTORY, now).order_by("-began_at", "-pk")
        standings = standings_of(self.project, now)
        return super().get_context_data(
            standings={one.objective.kind: one for one in standings},
            page=Paginator(past, BREACHES).get_page(self.request.GET.get("page")),
            database=database,
            days=HISTORY.days,
            change=last_change_of_settings(self.project.pk, action=ACTION),
            **{"impossible": {}, **kwargs},
        )

    def change(self, form: ObjectivesForm) -> HttpResponse:
        wanted, loaded = read_objectives(form.cleaned_data), read_loaded(form.loaded)
        now = recorded_objectives(self.project.pk)
        meant = only_meant(now, self.account, wanted, loaded)
        new = {name: value for name, value in meant.items() if now.values[name] != value}
        if impossible := self._to_agree_with(new):
            return self.render_to_response(self.get_context_data(form=form, impossible=impossible))
        change_objectives(
            project=self.project, actor=self.account, wanted=wanted, loaded=form.loaded
        )
        messages.success(self.request, "Your recovery objectives are saved.")
        self.tell_what_stays(recorded_objectives(self.project.pk), loaded, meant)
        return redirect("objectives", self.project.slug)

    def _to_agree_with(self, new: dict[str, int | None]) -> dict[str, str]:
        """Return warnings of impossible objectives by the value that accepts it.

        Returns nothing if the form has accepted them all.
        """
        found = warnings_of(self.project.main_database, new, timezone.now())
        asked = {f"{name}={new[name]}": text for name, text in found.items()}
        agreed = self.request.POST.getlist("agree")
        return {} if all(answer in agreed for answer in asked) else asked


class MainDatabasePage(MainDatabaseView):
    """The Main Database page, which shows owners the objectives as well."""

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context = super().get_context_data(**kwargs)
        if context["is_owner"]:
            context["standings"] = standings_of(self.project, timezone.now())
        return context
