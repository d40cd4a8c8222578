"""The app of what pages have in common."""

from django.apps import AppConfig

from backups_portal.ui.field_errors import speak_plainly


class UiConfig(AppConfig):
    """Lets every form speak plainly before the first one is made."""

    name = "backups_portal.ui"

    def ready(self) -> None:
        speak_plainly()
