"""The app, and the checks of database servers before anything starts."""

from django.apps import AppConfig
from django.core.checks import Tags, register

from backups_portal.lib.postgresql.base import check_encoding, check_pooling, check_server_version


class ProjectsConfig(AppConfig):
    """Projects, members and database servers."""

    name = "backups_portal.projects"

    def ready(self) -> None:
        register(Tags.database)(check_server_version)
        register(Tags.database)(check_encoding)
        register(Tags.database)(check_pooling)
