"""What every app builds upon."""

from importlib import import_module

from django.apps import AppConfig


class LibConfig(AppConfig):
    """Tells connections to the portal's database how to read moments."""

    name = "backups_portal.lib"

    def ready(self) -> None:
        import_module("backups_portal.lib.timestamps")
