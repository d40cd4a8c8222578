"""Who belongs to a project: inviting, accepting, leaving."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.services import record
from backups_portal.projects.errors import MembersRefusedError
from backups_portal.projects.models import Invitation, Membership, Project

ANSWERS = {True: "invitation.accepted", False: "invitation.declined"}
# So long an answered invitation is told from one that never was.
REMEMBERED = timedelta(days=7)


@transaction.atomic
def invite(
    *, project: Project, actor: Account, email: str, role: str, address: str | None = None
) -> Invitation:
    """Offer an account a membership. Offering it again changes the role that is offered.

    Raises:
        MembersRefusedError: nobody signs in with this address, or who does is a member already.
    """
    account = Account.objects.filter(email__iexact=email.strip(), is_active=True).first()
    if account is None:
        raise MembersRefusedError(
            f"No account here signs in as {email}. Ask the operator of this portal to make one."
        )
    if Membership.objects.filter(project=project, account=account).exists():
        raise MembersRefusedError(f"{account} is a member of this project already.")
    invitation, _ = Invitation.objects.update_or_create(
        project=project, account=account, defaults={"role": role, "invited_by": actor}
    )
    record(
        action="member.invited",
        actor=actor,
        project=project,
        subject=account.email,
        details={"role": role},
        address=address,
    )
    return invitation


@transaction.atomic
def withdraw(
    *, project: Project, actor: Account, invitation_id: int, address: str | None = None
) -> Invitation | None:
    """Take an offer back; None where it is gone already."""
    invitation = (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(project=project, pk=invitation_id)
        .first()
    )
    if invitation:
        invitation.delete()
        subject = invitation.account.email
        record(
            action="invitation.withdrawn",
            actor=actor,
            project=project,
            subject=subject,
            address=address,
        )
    return invitation


@transaction.atomic
def answer(
    *, account: Account, invitation_id: int, accept: bool, address: str | None = None
) -> Project | None:
    """Accept or decline an own invitation; None where it is gone, or somebody else's."""
    invitation = (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("project")
        .filter(account=account, pk=invitation_id)
        .first()
    )
    if invitation is None:
        return None
    invitation.delete()
    project = invitation.project
    if accept:
        Membership.objects.get_or_create(
            project=project, account=account, defaults={"role": invitation.role}
        )
    record(
        action=ANSWERS[accept],
        actor=account,
        project=project,
        subject=account.email,
        details={"role": invitation.role, "invitation": {"id": invitation_id}},
        address=address,
    )
    return project


@dataclass(frozen=True)
class Answered:
    """An invitation that its account has answered; where to go from there, if it is a member."""

    project_name: str
    accepted: bool
    project: Project | None


def answered(*, account: Account, invitation_id: int) -> Answered | None:
    """How an account answered an own invitation lately; None where it did not."""
    event = AuditEvent.objects.filter(
        # A table of years, of which the page that was left open asks for a few days.
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
def remove(
    *, project: Project, actor: Account, member_id: int, address: str | None = None
) -> Membership | None:
    """End a membership, also one's own; None where it has ended already.

    Raises:
        MembersRefusedError: nobody would own the project any more.
    """
    # All of them, so that two owners who remove each other at once do not both succeed.
    members = Membership.objects.select_for_update(of=("self",)).select_related("account")
    by_id = {member.pk: member for member in members.filter(project=project)}
    member = by_id.pop(member_id, None)
    if member is None:
        return None
    if not any(other.role == Membership.Role.OWNER for other in by_id.values()):
        raise MembersRefusedError(
            f"{member.account} is the only owner: invite another one before you remove this one."
        )
    Membership.objects.filter(pk=member.pk).delete()
    record(
        action="member.removed",
        actor=actor,
        project=project,
        subject=member.account.email,
        details={"role": member.role},
        address=address,
    )
    return member
