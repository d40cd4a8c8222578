"""The link in a weekly digest that turns it off without signing in.

It names a project and one of its owners, and does nothing else. Anybody who has the e-mail may use
it, as mail programs do for their users.
"""

from typing import NamedTuple
from uuid import UUID

from django.core.signing import BadSignature, Signer
from django.urls import reverse

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Membership, Project

SALT = "weekly digest"


class Reader(NamedTuple):
    """An owner, and a project whose digest this owner gets."""

    account: Account
    project: Project


def address_to_turn_off(project: Project, account: Account) -> str:
    """Return the path of the link in an owner's e-mail."""
    return reverse("digest-off", args=[_signer().sign(f"{project.pk.hex}-{account.pk}")])


def reader_of_link(signed: str) -> Reader | None:
    """Return the reader of a link; None if invalid, or no longer an owner."""
    try:
        project_id, _, account_id = _signer().unsign(signed).partition("-")
    except BadSignature:
        return None
    owners = Membership.objects.filter(role=Membership.Role.OWNER, account__is_active=True)
    membership = (
        owners.filter(project=UUID(project_id), account=int(account_id))
        .select_related("account", "project__main_database")
        .first()
    )
    return Reader(membership.account, membership.project) if membership else None


def _signer() -> Signer:
    return Signer(salt=SALT)
