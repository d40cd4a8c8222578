"""Access checks of the API, through the same access module as the pages.

Refusals are recorded as those of pages are. Only an authorised caller learns of unknown parameters.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import get_object_or_404

from backups_portal.portal_api.preconditions import check_preconditions
from backups_portal.portal_api.token_auth import ApiRequest
from backups_portal.projects.access import Permission, get_membership
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.permission_mixins import record_refusal
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.transfer_requests import find_transfer
from restores.models import Restore
from restores.snapshot_uses import with_uses
from snapshots.models import Snapshot


@contextmanager
def refusals_recorded(request: ApiRequest, slug: str) -> Iterator[None]:
    """Record a refusal before it is answered."""
    try:
        yield
    except (Http404, PermissionDenied):
        project = Project.objects.filter(slug=slug).first()
        record_refusal(request, request.auth.account, project)
        raise


def member(
    request: ApiRequest, slug: str, permission: Permission = Permission.VIEW_PROJECT
) -> Membership:
    """Return the caller's membership; raise Http404 for a stranger."""
    with refusals_recorded(request, slug):
        found = get_membership(request.auth.account, slug, permission)
    check_preconditions(request)
    return found


def owned(request: ApiRequest, slug: str) -> Project:
    """Return the project if the caller manages its backups."""
    return member(request, slug, Permission.MANAGE_BACKUPS).project


def backup_of(project: Project, backup_id: uuid.UUID) -> Snapshot:
    """Return a snapshot of the project; raise Http404 if it does not exist."""
    snapshots = with_uses(Snapshot.objects.filter(project=project))
    snapshot = get_object_or_404(snapshots.select_related("hold"), pk=backup_id)
    snapshot.project = project
    return snapshot


def restore_for(request: ApiRequest, restore_id: uuid.UUID) -> Restore:
    """Return a restore of a backup of one of the caller's projects."""
    restores = Restore.objects.select_related("snapshot__project", "project", "requested_by")
    restore = get_object_or_404(restores, pk=restore_id)
    restore.snapshot.project = owned(request, restore.snapshot.project.slug)
    return restore


def transfer_for(request: ApiRequest, transfer_id: uuid.UUID) -> Transfer:
    """Return a transfer between two of the caller's projects."""
    source = Transfer.objects.filter(pk=transfer_id).values_list("source__slug", flat=True)
    with refusals_recorded(request, source.first() or ""):
        found = find_transfer(request.auth.account, transfer_id)
    check_preconditions(request)
    return found
