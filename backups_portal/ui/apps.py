"""The app of the code that pages share."""

from django.apps import AppConfig

from backups_portal.ui.field_errors import speak_plainly


class UiConfig(AppConfig):
    """Installs our error messages before the first form is made."""

    name = "backups_portal.ui"

    def ready(self) -> None:
        speak_plainly()
