"""The portal's own database comes from a dump older than the projects on its servers."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import server_url
from backups_portal.projects.models import Project
from restores.models import Restore
from restores.orphan_databases import drop_leftovers
from snapshots.models import Snapshot
from tests.restores.test_restore_run import ask, databases, run
from tests.restores.test_warm_restores import kept

__all__ = ["kept"]


def forget(restore: Restore, state: str) -> str:
    """Return to a dump made while the restore was in a state; name its database."""
    made = restore.project
    assert made is not None
    database, fields = made.database, {"server": made.server, "prefix": made.prefix}
    Restore.objects.filter(pk=restore.pk).update(
        state=state,
        project=None,
        reason="x" if state == Restore.State.FAILED else "",
        database=database,
        lease=uuid.uuid4(),
        lease_until=timezone.now() - timedelta(hours=20),
        **fields,
    )
    made.delete()
    return database


@pytest.mark.parametrize("state", [Restore.State.RUNNING, Restore.State.FAILED])
@pytest.mark.parametrize("is_warm", [False, True])
def test_the_database_of_a_restore_that_completed_since_stays(
    request: pytest.FixtureRequest,
    project: Project,
    snapshot: Snapshot,
    owner: Account,
    state: str,
    *,
    is_warm: bool,
) -> None:
    """It is in use, and no row names its project any more."""
    if is_warm:
        request.getfixturevalue("kept")
    restore = run(ask(snapshot, owner))
    assert restore.was_warm is is_warm
    database = forget(restore, state)
    try:
        if state == Restore.State.RUNNING:
            again = run(restore)
            assert again.state == Restore.State.COMPLETED, again.reason
            assert again.project is not None
            assert again.project.database != database
        drop_leftovers(timezone.now())
        assert databases() >= {database, f"{database} role"}
    finally:
        drop_database(server_url(project.server), prefix=database.removeprefix("bp_"))
