"""A bucket that answers wrongly, once or for a while, condemns no backup."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Project
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_snapshot
from tests.s3 import Answer, Proxy, bucket_url, proxy_before, s3_server, well

MASTER_KEYS = f"old:{'a1' * 32}"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def proxy(endpoint: str) -> Iterator[Proxy]:
    with proxy_before(endpoint) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _bucket(stored: object, settings: Any, proxy: Proxy, tmp_path: Path) -> None:
    settings.SNAPSHOT_STORAGE = bucket_url(proxy.endpoint, tmp_path.name, max_retries="0")


def is_object(method: str, path: str) -> bool:
    return method == "GET" and ("/segments/" in path or "/manifests/" in path)


@pytest.mark.parametrize("keys", ["", MASTER_KEYS])
@pytest.mark.parametrize("is_lost", [False, True])
def test_what_does_not_come_back_as_written_is_a_fault_of_the_storage(
    live_project: Project, proxy: Proxy, settings: Any, *, is_lost: bool, keys: str
) -> None:
    """An outage of the storage is made up for (`recovered_outages`); damage is not."""
    settings.SNAPSHOT_MASTER_KEYS = keys
    settings.SNAPSHOT_RETRY_MINUTES = []
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)

    def spoil(method: str, path: str, answer: Answer) -> Answer:
        if not is_object(method, path):
            return answer
        lost = Answer(404, [], b"<Error><Code>NoSuchKey</Code></Error>")
        return lost if is_lost else replace(answer, body=answer.body[:40])

    proxy.fault = spoil
    take(snapshot.pk)
    proxy.fault = well
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.FAILED
    assert snapshot.cause == Cause.STORAGE, snapshot.reason
    assert "other bytes than were written" in snapshot.reason
