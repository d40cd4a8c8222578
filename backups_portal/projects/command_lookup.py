"""Look up projects and owners for commands."""

from collections.abc import Sequence

from django.core.management.base import CommandError

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Membership, Project


def find_project(slug: str) -> Project:
    """Find the project with this slug; raise CommandError if there is none."""
    project = Project.objects.select_related("server").filter(slug=slug).first()
    if project is None:
        raise CommandError(f"There is no project {slug}.")
    return project


def owner_of(projects: Sequence[Project], email: str | None) -> Account:
    """Find the one owner of all these projects; raise CommandError otherwise."""
    owners = Account.objects.all()
    for project in projects:
        role = Membership.objects.filter(project=project, role=Membership.Role.OWNER)
        owners = owners.filter(pk__in=role.values("account"))
    if email:
        owners = owners.filter(email__iexact=email)
    found = list(owners[:2])
    if not found:
        raise CommandError("No such person owns " + " and ".join(p.slug for p in projects) + ".")
    if len(found) > 1:
        raise CommandError("There are several owners: name one with --owner E-MAIL.")
    return found[0]
