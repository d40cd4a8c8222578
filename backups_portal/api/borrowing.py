"""Connections for requests that bring no token of a project."""

from django.http import HttpRequest

from backups_portal.api.envelope import NotFoundError
from backups_portal.api.identity import pools
from backups_portal.api.pools import Connection
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project


def running_project(**which: object) -> Project:
    """The running project that a request without a token is about.

    Raises:
        NotFoundError: there is none.
    """
    project = Project.objects.active().select_related("server").filter(**which).first()
    if project is None:
        raise NotFoundError("Profile")
    return project


def borrow(request: HttpRequest, project: Project) -> Connection:
    """A connection to a project's database, until the request is answered."""
    connection = pools().take(project.prefix, lambda: project_dsn(project))
    request.borrowed = (project.prefix, connection)  # type: ignore[attr-defined]
    return connection
