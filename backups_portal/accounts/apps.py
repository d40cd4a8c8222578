"""Configure the app of accounts."""

from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Loads the receiver that notes when a password was given."""

    name = "backups_portal.accounts"

    def ready(self) -> None:
        import_module("backups_portal.accounts.reauthentication")
