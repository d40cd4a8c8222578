"""Who belongs to a project: inviting, accepting, leaving."""

from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.services import record
from backups_portal.projects.errors import MembersRefusedError
from backups_portal.projects.models import Invitation, Membership, Project


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
        action="invitation.accepted" if accept else "invitation.declined",
        actor=account,
        project=project,
        subject=account.email,
        details={"role": invitation.role},
        address=address,
    )
    return project


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
