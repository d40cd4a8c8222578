"""The pages' own gate, asked by the API; a refusal is logged and audited as theirs is."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import get_object_or_404

from backups_portal.automation.identity import ApiRequest
from backups_portal.projects.access import Permission, get_membership
from backups_portal.projects.mixins import record_refusal
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.services import find_transfer
from restores.models import Restore
from snapshots.models import Snapshot


@contextmanager
def refusals_recorded(request: ApiRequest, slug: str) -> Iterator[None]:
    """Write a refusal down before it is answered."""
    try:
        yield
    except (Http404, PermissionDenied):
        record_refusal(request, request.auth.account, slug)
        raise


def member(request: ApiRequest, slug: str) -> Membership:
    """The caller's membership; Http404 where he is a stranger."""
    with refusals_recorded(request, slug):
        return get_membership(request.auth.account, slug, Permission.VIEW_PROJECT)


def owned(request: ApiRequest, slug: str) -> Project:
    """The project, whose backups the caller manages; raises as get_membership does."""
    with refusals_recorded(request, slug):
        return get_membership(request.auth.account, slug, Permission.MANAGE_BACKUPS).project


def backup_of(project: Project, backup_id: uuid.UUID) -> Snapshot:
    """One of the project's snapshots; Http404 where it has none with this id."""
    snapshots = Snapshot.objects.filter(project=project).with_uses().select_related("hold")
    snapshot = get_object_or_404(snapshots, pk=backup_id)
    snapshot.project = project
    return snapshot


def restore_for(request: ApiRequest, restore_id: uuid.UUID) -> Restore:
    """A restore of a backup of a project that is the caller's."""
    restores = Restore.objects.select_related("snapshot__project", "project", "requested_by")
    restore = get_object_or_404(restores, pk=restore_id)
    restore.snapshot.project = owned(request, restore.snapshot.project.slug)
    return restore


def transfer_for(request: ApiRequest, transfer_id: uuid.UUID) -> Transfer:
    """A transfer between two projects that are the caller's."""
    source = Transfer.objects.filter(pk=transfer_id).values_list("source__slug", flat=True)
    with refusals_recorded(request, source.first() or ""):
        return find_transfer(request.auth.account, transfer_id)
