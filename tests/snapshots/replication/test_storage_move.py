"""Moving to another storage, as .github/docs/storage-and-keys.md has it."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from backups_portal.ops.metrics import exposition
from backups_portal.projects.models import Project
from snapshots.engine.storage import Storage
from snapshots.integrity.orphan_objects import sweep_project
from tests.snapshots.replication.copies import add, copied, names, restored
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db


def verified(*options: str) -> str:
    """Run what the recipe says; it fails if anything is wrong."""
    out = StringIO()
    call_command("verify_snapshot", "--all", *options, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("next_copies", ["none", "the old place"])
@pytest.mark.usefixtures("master_keys")
def test_the_storage_of_the_copies_becomes_the_first_one(
    live_project: Project, stored: Storage, second: Storage, settings: Any, next_copies: str
) -> None:
    first = taken(live_project, 2)
    add(live_project, 2)
    latest = taken(live_project, 1)
    old, new = settings.SNAPSHOT_STORAGE, settings.SNAPSHOT_COPY_STORAGE
    for snapshot in (first, latest):
        copied(snapshot)
    assert b"backups_portal_snapshots_without_copy 0.0" in exposition()
    verified("--copy")

    settings.SNAPSHOT_STORAGE = new
    settings.SNAPSHOT_COPY_STORAGE = "" if next_copies == "none" else old
    if next_copies == "none":
        for name in names(stored, live_project):
            stored.delete(name)
    verified()
    for snapshot in (first, latest):
        restored(snapshot)
    add(live_project, 3)
    following = taken(live_project)
    restored(following)
    swept = sweep_project(live_project.pk)
    assert swept is not None
    assert not swept.is_doubtful
    if next_copies != "none":
        call_command("copy_snapshots", stdout=StringIO())
        for snapshot in (first, latest, following):
            copied(snapshot)
        verified("--copy")
