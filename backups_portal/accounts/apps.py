"""The app of accounts."""

from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Notes when a password was given, whoever signs somebody in and whatever was loaded before."""

    name = "backups_portal.accounts"

    def ready(self) -> None:
        import_module("backups_portal.accounts.recent")
