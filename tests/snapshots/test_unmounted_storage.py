"""With an empty folder instead of the storage, no backup is called damaged."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from backups_portal.projects.models import Project
from restores.errors import RestoreRefusedError
from restores.restore_requests import NewProject, request_restore
from snapshots.archive_download import open_download
from snapshots.errors import DownloadRefusedError
from snapshots.models import Snapshot
from tests.projectdatabases import DEVICE
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db
TOLD = "An operator needs to check that it is the right one."


@pytest.fixture
def snapshot(live_project: Project, settings: Any) -> Snapshot:
    """A stored backup whose storage was replaced by an empty folder."""
    found = taken(live_project)
    folder = Path(urlsplit(settings.SNAPSHOT_STORAGE).path)
    folder.rename(folder.with_name("disk"))
    return found


@pytest.mark.parametrize(
    "page", ["devices/", f"devices/{DEVICE}/", "resources/", "left-out/", "compare/?with=now"]
)
def test_a_page_says_that_it_may_be_the_wrong_one(
    client: Client, snapshot: Snapshot, page: str
) -> None:
    client.force_login(snapshot.project.created_by)
    url = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/{page}"
    text = client.get(url).content.decode()
    assert TOLD in text
    assert "lacks" not in text
    assert "missing in storage" not in text


def test_a_restore_and_a_download_are_refused_with_that_reason(snapshot: Snapshot) -> None:
    owner = snapshot.project.created_by
    wanted = NewProject(name="Again", accepted_charges=True)
    with pytest.raises(RestoreRefusedError, match=TOLD):
        request_restore(snapshot=snapshot, actor=owner, wanted=wanted)
    with pytest.raises(DownloadRefusedError, match=TOLD):
        open_download(snapshot=snapshot, actor=owner)
