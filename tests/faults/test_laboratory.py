"""The laboratory detects the faults that it exists to detect."""

from datetime import time, timedelta

import pytest
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.billing.models import Charge
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import BackupSettings, Instance, publish_project
from restores.models import Restore
from tests.factories import make_account, make_restore, make_server, make_snapshot
from tests.faults.laboratory import check_charges

pytestmark = pytest.mark.django_db


def publish(prefix: str, owner: Account, reason: str) -> Project:
    first_run = timezone.now() + timedelta(days=1)
    return publish_project(
        instance=Instance(make_server(), prefix, "secret"),
        name=f"Project {prefix}",
        owner=owner,
        settings=BackupSettings(time(3), "UTC", 7, first_run),
        quote=current_quote(),
        reason=reason,
    )


@pytest.fixture
def restore() -> Restore:
    """A completed restore of a project that was not restored itself."""
    owner = make_account()
    source = publish("0000000a", owner, "New project")
    made = publish("0000000b", owner, "Restored from a backup")
    return make_restore(
        make_snapshot(source), requested_by=owner, project=made, state=Restore.State.COMPLETED
    )


def test_a_second_project_of_one_restore_is_noticed(restore: Restore) -> None:
    check_charges()
    publish("0000000c", restore.requested_by, "Restored from a backup")
    with pytest.raises(AssertionError):
        check_charges()


def test_a_project_that_nobody_pays_is_noticed(restore: Restore) -> None:
    Charge.objects.filter(project_id=restore.project_id, kind=Charge.Kind.CREATION).delete()
    with pytest.raises(AssertionError):
        check_charges()


def test_the_charge_of_a_project_that_is_not_there_is_noticed(restore: Restore) -> None:
    Project.objects.filter(pk=restore.project_id).delete()
    with pytest.raises(AssertionError):
        check_charges()
