"""The access module: which account may do what in a project."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import Client

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.access import Permission, get_project
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("permission", list(Permission))
def test_owner_may_everything(permission: Permission) -> None:
    owner = factories.make_account()
    project = factories.make_project_row(owner=owner)
    assert get_project(owner, project.slug, permission) == project


def test_collaborator_may_only_view() -> None:
    project, account = factories.make_project_row(), factories.make_account()
    factories.make_membership(project, account)
    assert get_project(account, project.slug, Permission.VIEW_PROJECT) == project
    with pytest.raises(PermissionDenied, match="restricted to project owners"):
        get_project(account, project.slug, Permission.MANAGE_BACKUPS)


@pytest.mark.parametrize("permission", list(Permission))
def test_stranger_learns_nothing(permission: Permission) -> None:
    project, stranger = factories.make_project_row(), factories.make_account()
    factories.make_project_row(owner=stranger)
    for slug in (project.slug, "no-such-project"):
        with pytest.raises(Http404, match="no such project"):
            get_project(stranger, slug, permission)


def test_refusal_of_a_collaborator_leaves_a_trace(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    project, account = factories.make_project_row(), factories.make_account()
    factories.make_membership(project, account)
    client.force_login(account)
    response = client.get(f"/projects/{project.slug}/charges/")
    assert response.status_code == 403
    assert "Backup management is restricted to project owners." in response.content.decode()
    event = AuditEvent.objects.get(action="access.refused")
    assert (event.account_id, event.project_id) == (account.pk, project.pk)
    assert event.subject == f"GET /projects/{project.slug}/charges/"
    assert "refused account=" in caplog.text


def test_refusal_of_a_stranger_leaves_a_trace(client: Client) -> None:
    project = factories.make_project_row()
    client.force_login(factories.make_account())
    assert client.get(f"/projects/{project.slug}/").status_code == 404
    assert AuditEvent.objects.get(action="access.refused").project_id == project.pk


def test_refusals_without_end_do_not_fill_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    project, other = factories.make_project_row(), factories.make_project_row()
    stranger, colleague = factories.make_account(), factories.make_account()
    factories.make_membership(project, colleague)
    client.force_login(stranger)
    for _ in range(30):
        assert client.get(f"/projects/{project.slug}/").status_code == 404
    refused = AuditEvent.objects.filter(action="access.refused")
    assert refused.filter(project_id=project.pk, account_id=stranger.pk).count() == 20
    # Every single one is in the operator's log.
    assert caplog.text.count(f"refused GET /projects/{project.slug}/ account=") == 30
    # Another project's first refusal, and another account's, are recorded nevertheless.
    client.get(f"/projects/{other.slug}/")
    for number in range(30):
        client.get(f"/projects/no-such-{number}/")
    client.force_login(colleague)
    client.get(f"/projects/{project.slug}/charges/")
    assert refused.filter(project_id=other.pk).count() == 1
    assert refused.filter(project_id=None).count() == 20
    assert refused.filter(account_id=colleague.pk).count() == 1
