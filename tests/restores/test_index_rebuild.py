"""A restored project gets a running project's indexes after its publication."""

from datetime import timedelta

import pytest
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.ops.tasks import send_index_rebuilds
from backups_portal.projectdb import block_ranges
from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import DatabaseServer, Project
from restores.index_rebuild import AGAIN, rebuild_indexes
from restores.models import Restore
from snapshots.models import Snapshot
from tests.projectdatabases import Target
from tests.restores.test_block_ranges import (
    ONE_RANGE,
    SEVERAL,
    block_range_indexes,
    open_database,
    taken_off,
)
from tests.restores.test_restore_run import ask, run


@pytest.fixture
def restore(snapshot: Snapshot, owner: Account) -> Restore:
    return run(ask(snapshot, owner))


def database_of(project: Project | None) -> Target:
    assert project is not None
    return Target(admin_dsn(project), project.prefix)


def due_at(restore: Restore) -> object:
    return Restore.objects.values_list("indexes_due_at", flat=True).get(pk=restore.pk)


def test_it_is_due_with_the_publication_and_done_once(project: Project, restore: Restore) -> None:
    restored = database_of(restore.project)
    assert due_at(restore) is not None
    assert block_range_indexes(restored) == ONE_RANGE
    assert rebuild_indexes(restore.pk)
    assert due_at(restore) is None
    assert taken_off(restored) == taken_off(database_of(project))
    assert rebuild_indexes(restore.pk)


def test_a_lost_message_is_sent_again_once_an_hour(restore: Restore) -> None:
    now = timezone.now()
    assert send_index_rebuilds(now) == [], "its first message may still be under way"
    later = now + AGAIN + timedelta(seconds=1)
    assert send_index_rebuilds(later) == [restore.pk]
    assert send_index_rebuilds(later + timedelta(minutes=1)) == []
    assert send_index_rebuilds(later + AGAIN) == [restore.pk]
    rebuild_indexes(restore.pk)
    assert send_index_rebuilds(later + 2 * AGAIN) == []


def test_what_keeps_it_from_its_work_is_normal(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert restore.project is not None
    restored = database_of(restore.project)
    monkeypatch.setattr(block_ranges, "PATIENCE_SECONDS", 0.05)
    with open_database(restored) as visitor, visitor.transaction():
        visitor.execute("LOCK TABLE variable IN SHARE UPDATE EXCLUSIVE MODE")
        assert not rebuild_indexes(restore.pk)
    servers = DatabaseServer.objects.filter(pk=restore.project.server_id)
    servers.update(checked_at=timezone.now(), unreachable_since=timezone.now())
    assert not rebuild_indexes(restore.pk)
    servers.update(unreachable_since=None)
    projects = Project.objects.filter(pk=restore.project.pk)
    projects.update(state=Project.State.SHUT_DOWN)
    assert not rebuild_indexes(restore.pk)
    assert send_index_rebuilds(timezone.now() + 2 * AGAIN) == []
    projects.update(state=Project.State.ACTIVE)
    assert due_at(restore) is not None
    assert rebuild_indexes(restore.pk)
    assert block_range_indexes(restored) == SEVERAL


def test_a_project_that_is_gone_leaves_nothing_to_do(restore: Restore) -> None:
    Restore.objects.filter(pk=restore.pk).update(project=None)
    assert rebuild_indexes(restore.pk)
    assert send_index_rebuilds(timezone.now() + 2 * AGAIN) == []
