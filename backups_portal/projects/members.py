"""The members of a project: inviting, accepting, leaving."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.projects.access import Permission, RightLostError, hold_right
from backups_portal.projects.errors import MembersRefusedError
from backups_portal.projects.models import Invitation, Membership, Project

ANSWERS = {True: "invitation.accepted", False: "invitation.declined"}
# For this long, an answered invitation is told apart from one that never existed.
REMEMBERED = timedelta(days=7)


@transaction.atomic
def invite(*, project: Project, actor: Account, email: str, role: str) -> Invitation:
    """Invite an e-mail address to a project, with or without an account.

    The answer and its time are the same either way, so that they do not reveal accounts. Inviting
    the address again changes the offered role.

    Raises:
        MembersRefusedError: a member signs in with this address.
        RightLostError: the actor was removed a moment ago.
    """
    hold_right(actor, Permission.MANAGE_PROJECT, project)
    email = email.strip().lower()
    member = Membership.objects.filter(project=project, account__email__iexact=email).first()
    if member:
        reason = f"{member.account} is already a member of this project."
        if member.role != role:
            reason += " To change the role, remove them and invite them again."
        raise MembersRefusedError(reason, field="email")
    invitation, _ = Invitation.objects.update_or_create(
        project=project, email=email, defaults={"role": role, "invited_by": actor}
    )
    record(
        action="member.invited", actor=actor, project=project, subject=email, details={"role": role}
    )
    return invitation


@transaction.atomic
def withdraw(*, project: Project, actor: Account, invitation_id: int) -> Invitation | None:
    """Withdraw an invitation; None if it is gone already.

    Raises:
        RightLostError: the actor was removed a moment ago.
    """
    hold_right(actor, Permission.MANAGE_PROJECT, project)
    invitation = (
        Invitation.objects.select_for_update().filter(project=project, pk=invitation_id).first()
    )
    if invitation:
        _withdraw(invitation, actor)
    return invitation


def _withdraw(invitation: Invitation, actor: Account) -> None:
    invitation.delete()
    record(
        action="invitation.withdrawn",
        actor=actor,
        project=invitation.project,
        subject=invitation.email,
    )


@transaction.atomic
def answer(*, account: Account, invitation_id: int, accept: bool) -> Project | None:
    """Accept or decline an account's invitation; None if there is none.

    Raises:
        MembersRefusedError: the inviter may no longer admit members.
    """
    own = Invitation.objects.filter(email=account.email.lower(), pk=invitation_id)
    found = own.select_related("project", "invited_by")
    invitation = found.first()
    if invitation is None:
        return None
    inviter = invitation.invited_by_id
    if accept:
        _check_inviter(invitation)
    # The offered role may have changed while this waited for the lock on the inviter's right.
    invitation = found.select_for_update(of=("self",)).first()
    if invitation is None:
        return None
    if accept and invitation.invited_by_id != inviter:
        _check_inviter(invitation)
    invitation.delete()
    project = invitation.project
    role = _join(account, invitation) if accept else invitation.role
    record(
        action=ANSWERS[accept],
        actor=account,
        project=project,
        subject=account.email,
        details={"role": role, "invitation": {"id": invitation_id}},
    )
    return project


def _join(account: Account, invitation: Invitation) -> str:
    """Make the account a member, never lowering its role; return the role."""
    member, is_new = Membership.objects.get_or_create(
        project=invitation.project, account=account, defaults={"role": invitation.role}
    )
    if is_new or invitation.role != Membership.Role.OWNER:
        return member.role
    Membership.objects.filter(pk=member.pk).update(role=invitation.role)
    return invitation.role


def _check_inviter(invitation: Invitation) -> None:
    try:
        hold_right(invitation.invited_by, Permission.MANAGE_PROJECT, invitation.project)
    except RightLostError as error:
        raise MembersRefusedError(
            f"{invitation.invited_by} can no longer admit members to {invitation.project}, so this "
            "invitation is void. Ask another owner for a new one."
        ) from error


@dataclass(frozen=True)
class Answered:
    """An invitation that its account answered; `project` is set for members."""

    project_name: str
    accepted: bool
    project: Project | None


def answered(*, account: Account, invitation_id: int) -> Answered | None:
    """Return how the account recently answered an invitation, if it did."""
    event = AuditEvent.objects.filter(
        # The table covers years; a page that was left open needs only the last few days.
        at__gte=timezone.now() - REMEMBERED,
        account_id=account.pk,
        action__in=ANSWERS.values(),
        details__invitation__id=invitation_id,
    ).last()
    if event is None or event.project_id is None:
        return None
    project = Project.objects.filter(pk=event.project_id, memberships__account=account).first()
    return Answered(event.project_name, event.action == ANSWERS[True], project)


@transaction.atomic
def remove(*, project: Project, actor: Account, member_id: int) -> Membership | None:
    """End a membership, maybe the actor's own; None if it has ended already.

    Raises:
        MembersRefusedError: no owner who can sign in would be left.
        RightLostError: the actor was removed a moment ago.
    """
    # Lock all members, so that two owners who remove each other at once do not both succeed.
    members = Membership.objects.select_for_update(of=("self",)).select_related("account")
    by_id = {member.pk: member for member in members.filter(project=project)}
    member = by_id.pop(member_id, None)
    if member is None:
        return None
    if member.account_id != actor.pk:
        hold_right(actor, Permission.MANAGE_PROJECT, project)
    if not any(other.is_open_owner for other in by_id.values()):
        raise MembersRefusedError(
            f"{member.account} is the only owner who can sign in. Invite another owner before "
            "removing this one."
        )
    Membership.objects.filter(pk=member.pk).delete()
    record(
        action="member.removed",
        actor=actor,
        project=project,
        subject=member.account.email,
        details={"role": member.role},
    )
    # Withdraw invitations too: the account may have taken this address after it was invited.
    for invitation in project.invitations.filter(email=member.account.email.lower()):
        _withdraw(invitation, actor)
    return member
