"""The audit log."""

import pytest

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from tests import factories

pytestmark = pytest.mark.django_db


def test_event_outlives_project_and_account() -> None:
    account = factories.make_account("owner@example.com")
    project = factories.make_project_row(owner=factories.make_account(), name="Fleet")
    record(action="settings.changed", actor=account, project=project, details={"days": 7})
    project.delete()
    account.delete()
    event = AuditEvent.objects.get()
    assert (event.account_email, event.project_name) == ("owner@example.com", "Fleet")
    assert event.details == {"days": 7}


def test_long_subject_is_cut() -> None:
    assert len(record(action="a.b", actor=None, subject="x" * 500).subject) == 200


def test_event_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        record(action="snapshot.completed", actor=None)
    assert "snapshot.completed account=system" in caplog.text
