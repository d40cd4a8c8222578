"""Who may do what in a project: the only gate."""

from enum import Enum

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404

from backups_portal.accounts.models import Account
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Membership, Project


class MemberRefusedError(PermissionDenied):
    """A member asked for what the role does not allow."""

    def __init__(self, message: str, project: Project) -> None:
        super().__init__(message)
        self.project = project


class RightLostError(PermissionDenied):
    """The account lost the right it acted on; the message is fit for a page."""

    cause = Cause.RIGHT_LOST

    def __init__(self, message: str, project: Project | None = None) -> None:
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
    Permission.MANAGE_API: "Only project owners can manage API tokens.",
    Permission.MANAGE_NOTIFICATIONS: "Only project owners can manage notifications.",
    Permission.MANAGE_PROJECT: (
        "Only project owners can manage members, see activity or shut down a project."
    ),
}


def get_membership(account: Account, slug: str, permission: Permission) -> Membership:
    """Return the account's membership, with its project and main database.

    Raises:
        Http404: there is no such project, or the account is a stranger to it.
        MemberRefusedError: the account is a member without this permission.
    """
    memberships = Membership.objects.filter(account=account, project__slug=slug)
    membership = memberships.select_related("project__server", "project__main_database").first()
    if membership is None:
        raise Http404("no such project")
    if permission not in GRANTS[Membership.Role(membership.role)]:
        raise MemberRefusedError(REFUSALS.get(permission, REFUSAL), membership.project)
    membership.account = account
    return membership


def get_project(account: Account, slug: str, permission: Permission) -> Project:
    """Return the project if the account has the permission."""
    return get_membership(account, slug, permission).project


def is_member(account: Account, project: Project) -> bool:
    """Tell whether the account is a member of the project, in any role."""
    return Membership.objects.filter(account=account, project=project).exists()


def hold_right(actor: Account, permission: Permission, *projects: Project) -> None:
    """Check an actor's right again, and hold it until the transaction ends.

    Members may be removed while work waits in a queue. The memberships are locked, so a concurrent
    removal either comes first or waits until the caller's work is committed.

    Raises:
        RightLostError: the actor is no longer a member with this permission, or the account is
            closed.
    """
    if not Account.objects.filter(pk=actor.pk, is_active=True).exists():
        closed = f"The account of {actor.email} is closed, so this was stopped."
        raise RightLostError(closed, projects[0] if projects else None)
    roles = [role for role, granted in GRANTS.items() if permission in granted]
    # Always lock in the same order, or two transactions could deadlock.
    for project in sorted(projects, key=lambda one: one.pk):
        held = Membership.objects.select_for_update(no_key=True).filter(
            project=project, account=actor, role__in=roles
        )
        if held.first() is None:
            raise RightLostError(
                f"{actor.email} no longer owns {project.name}, so this was stopped. Another owner "
                "can try again.",
                project,
            )


def projects_with(account: Account, permission: Permission) -> QuerySet[Project]:
    """Select the running projects in which the account has a permission."""
    roles = [role for role, granted in GRANTS.items() if permission in granted]
    return Project.objects.active().filter(
        memberships__account=account, memberships__role__in=roles
    )
