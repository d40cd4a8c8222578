"""Base of the settings pages, which detect concurrent changes by others."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse

from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui.form_views import RefusingFormView
from snapshots.errors import SettingsChangedMeanwhileError
from snapshots.schedule.edit_conflicts import RecordedSettings, changed_of

STAYS = (
    "In the meantime, {change.who} changed “{change.label}” from “{change.old}” to "
    "“{change.new}”. That stays."
)


class SettingsView(ProjectPermissionMixin, RefusingFormView):
    """A page with a LoadedForm, which overwrites no change by others."""

    def get_initial(self) -> dict[str, Any]:
        return self.current()

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            return self.change(form)
        except SettingsChangedMeanwhileError as refused:
            self.project.main_database.refresh_from_db()
            form.count_from(self.current(), refused.errors)
            raise

    def current(self) -> dict[str, Any]:
        """Return the current settings, as the form shows them."""
        raise NotImplementedError

    def change(self, form: Any) -> HttpResponse:
        """Save the settings; raise SettingsRefusedError."""
        raise NotImplementedError

    def tell_what_stays(
        self, saved: RecordedSettings, loaded: Mapping[str, Any], meant: Mapping[str, Any]
    ) -> None:
        """Report what others changed in settings that this person left alone."""
        left = {name: value for name, value in loaded.items() if name not in meant}
        for change in changed_of(saved, self.account, left):
            messages.info(self.request, STAYS.format(change=change))
