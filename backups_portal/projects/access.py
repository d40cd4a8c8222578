"""Who may do what in a project: the only gate."""

from collections.abc import Iterator
from enum import Enum
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Model
from django.http import Http404
from psycopg import sql

from backups_portal.accounts.models import Account
from backups_portal.projects.models import DatabaseServer, MainDatabase, Membership, Project

Row = TypeVar("Row", bound=Model)


class MemberRefusedError(PermissionDenied):
    """A member asked for what the role does not allow."""

    def __init__(self, message: str, project: Project) -> None:
        super().__init__(message)
        self.project = project


class Permission(Enum):
    """What a member may be allowed to do."""

    VIEW_PROJECT = "view project"
    MANAGE_BACKUPS = "manage backups"
    MANAGE_API = "manage API tokens"
    MANAGE_NOTIFICATIONS = "manage notifications"
    MANAGE_PROJECT = "manage the project"


# Backups, restores, charges, settings, members and activity are the owners' alone.
GRANTS = {
    Membership.Role.OWNER: frozenset(Permission),
    Membership.Role.COLLABORATOR: frozenset({Permission.VIEW_PROJECT}),
}
REFUSAL = (
    "Backup management is restricted to project owners. "
    "Collaborators cannot access backup features."
)
REFUSALS = {
    Permission.MANAGE_API: "A project's API tokens are its owners' alone.",
    Permission.MANAGE_NOTIFICATIONS: "A project's notifications are its owners' alone.",
    Permission.MANAGE_PROJECT: "Members, activity and shutting down are a project's owners' alone.",
}


def get_membership(account: Account, slug: str, permission: Permission) -> Membership:
    """The account's membership in a project, with the project and its main database.

    Raises:
        Http404: there is no such project, or the account is a stranger to it.
        MemberRefusedError: the account is a member without this permission.
    """
    membership = _find(account, slug)
    if membership is None:
        raise Http404("no such project")
    if permission not in GRANTS[Membership.Role(membership.role)]:
        raise MemberRefusedError(REFUSALS.get(permission, REFUSAL), membership.project)
    return membership


@cache
def _statement() -> str:
    columns = [
        sql.Identifier(model._meta.db_table, str(field.column))
        for model in (Membership, Project, DatabaseServer, MainDatabase)
        for field in model._meta.concrete_fields
    ]
    statement = sql.SQL(
        """SELECT {} FROM projects_membership
           JOIN projects_project ON projects_project.id = projects_membership.project_id
           JOIN projects_databaseserver ON projects_databaseserver.id = projects_project.server_id
           LEFT JOIN projects_maindatabase ON projects_maindatabase.project_id = projects_project.id
           WHERE projects_membership.account_id = %s AND projects_project.slug = %s"""
    )
    return statement.format(sql.SQL(", ").join(columns)).as_string()


def _find(account: Account, slug: str) -> Membership | None:
    """The membership with its project, server and main database.

    Written out: Django puts a query together anew each time, and took a tenth of every page of a
    project for this one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_statement(), [account.pk, slug])
        row = cursor.fetchone()
    if row is None:
        return None
    values = iter(row)
    membership, project = _next(Membership, values), _next(Project, values)
    server, database = _next(DatabaseServer, values), _next(MainDatabase, values)
    membership.account, membership.project, project.server = account, project, server
    if database.pk is not None:
        project.main_database = database
    return membership


def _next(model: type[Row], values: Iterator[Any]) -> Row:
    names = [field.attname for field in model._meta.concrete_fields]
    return model.from_db(connection.alias, names, list(islice(values, len(names))))


def get_project(account: Account, slug: str, permission: Permission) -> Project:
    """The project, for an account that has the permission; raises as get_membership does."""
    return get_membership(account, slug, permission).project
