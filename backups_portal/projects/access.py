"""Who may do what in a project: the only gate."""

from enum import Enum

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404

from backups_portal.accounts.models import Account
from backups_portal.lib.compiled import compiled
from backups_portal.projects.models import Membership, Project


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
    membership = _memberships(account.pk, slug).first()
    if membership is None:
        raise Http404("no such project")
    if permission not in GRANTS[Membership.Role(membership.role)]:
        raise MemberRefusedError(REFUSALS.get(permission, REFUSAL), membership.project)
    membership.account = account
    return membership


@compiled
def _memberships(account_id: int, slug: str) -> QuerySet[Membership]:
    found = Membership.objects.filter(account_id=account_id, project__slug=slug)
    return found.select_related("project__server", "project__main_database")


def get_project(account: Account, slug: str, permission: Permission) -> Project:
    """The project, for an account that has the permission; raises as get_membership does."""
    return get_membership(account, slug, permission).project
