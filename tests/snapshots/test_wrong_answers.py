"""A bucket that answers wrongly, once or for a while, condemns no backup."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Project
from restores.models import Proof
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from snapshots.engine.encryption import MasterKeys
from snapshots.engine.errors import StorageError
from snapshots.engine.layout import manifest_key
from snapshots.engine.storage import Storage, open_storage
from snapshots.integrity.orphan_objects import Swept, sweep_project
from snapshots.integrity.verification import verify, verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import queue_copies
from snapshots.replication.copy_sweep import sweep_copies
from snapshots.run.snapshot_run import take
from snapshots.storages.key_rotation import rotate_each
from tests.factories import make_snapshot
from tests.s3 import (
    DENIED,
    Answer,
    Fault,
    Proxy,
    bucket_url,
    one_of,
    proxy_before,
    s3_server,
    well,
)
from tests.snapshots.replication.copies import copied
from tests.takensnapshots import prune, taken

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


@pytest.fixture
def snapshot(live_project: Project) -> Snapshot:
    return taken(live_project)


def is_object(method: str, path: str) -> bool:
    return method == "GET" and ("/segments/" in path or "/manifests/" in path)


def is_listing(method: str, path: str) -> bool:
    return method == "GET" and "list-type=2" in path


def cut_once() -> Fault:
    """Answer the first request for an object with half of it, in a complete answer."""
    cut = one_of(1000, lambda method, path, answer: replace(answer, body=answer.body[:40]))
    return lambda method, path, answer: (
        cut(method, path, answer) if is_object(method, path) else answer
    )


def web_page(method: str, path: str, answer: Answer) -> Answer:
    """Answer like a website that has a page for every address."""
    return Answer(200, [("Content-Type", "text/html")], b"<!doctype html><title>Console</title>")


def without_fresh_objects(method: str, path: str, answer: Answer) -> Answer:
    is_of_objects = b"/segments/" in answer.body or b"/manifests/" in answer.body
    if not (is_listing(method, path) and is_of_objects):
        return answer
    head, _, rest = answer.body.partition(b"<Contents>")
    return replace(answer, body=head + rest.rpartition(b"</Contents>")[2])


def swept(snapshot: Snapshot) -> Swept:
    found = sweep_project(snapshot.project_id)
    assert found is not None
    return found


def proof_of(snapshot: Snapshot) -> Proof:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    run_proof(proof.pk)
    proof.refresh_from_db()
    return proof


def is_offered(snapshot: Snapshot) -> bool:
    snapshot.refresh_from_db()
    return snapshot.is_restorable


def test_an_object_that_comes_cut_once_is_read_again(snapshot: Snapshot, proxy: Proxy) -> None:
    for judge in (swept, verify):
        proxy.fault, proxy.harmed = cut_once(), 0
        judge(snapshot)
        assert proxy.harmed == 1
        assert is_offered(snapshot), judge


def test_a_listing_that_lacks_fresh_objects_is_not_believed(
    snapshot: Snapshot, proxy: Proxy
) -> None:
    proxy.fault = without_fresh_objects
    assert swept(snapshot).missing == ()
    assert proxy.harmed
    assert is_offered(snapshot)


def test_a_listing_of_copies_that_lacks_fresh_objects_is_not_believed(
    stored: Storage, snapshot: Snapshot, proxy: Proxy, settings: Any, tmp_path: Path
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = bucket_url(proxy.endpoint, f"{tmp_path.name}-copies")
    queue_copies([snapshot.project_id], timezone.now(), failed_before=timezone.now())
    row = copied(snapshot)
    proxy.fault = without_fresh_objects
    sweep_copies(snapshot.project_id)
    assert proxy.harmed
    row.refresh_from_db()
    assert row.state == SnapshotCopy.State.COPIED, row.reason


@pytest.mark.parametrize("folder", ["segments", "manifests"])
def test_an_object_that_comes_cut_once_is_copied_whole(
    snapshot: Snapshot, proxy: Proxy, settings: Any, tmp_path: Path, folder: str
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    queue_copies([snapshot.project_id], timezone.now(), failed_before=timezone.now())
    # The first answer with a manifest is the one that says what to copy.
    numbers, first = count(1), {"segments": 1, "manifests": 2}[folder]

    def cut(method: str, path: str, answer: Answer) -> Answer:
        if not (method == "GET" and f"/{folder}/" in path) or next(numbers) != first:
            return answer
        return replace(answer, body=answer.body[:40])

    proxy.fault = cut
    copied(snapshot)
    assert proxy.harmed == 1
    assert verify_copy(snapshot).rows == snapshot.rows


def test_a_web_page_in_place_of_the_storage_is_no_storage(
    snapshot: Snapshot, proxy: Proxy, settings: Any
) -> None:
    proxy.fault = web_page
    with pytest.raises(StorageError, match="web page"):
        sweep_project(snapshot.project_id)
    proof = proof_of(snapshot)
    assert (proof.state, proof.cause) == (Proof.State.GIVEN_UP, Cause.STORAGE)
    assert "web page" in proof.reason
    assert is_offered(snapshot)
    masters = MasterKeys.parse(MASTER_KEYS)
    assert masters
    (rotated,) = rotate_each(masters)
    assert not rotated.is_finished, "no key may be removed"


@pytest.mark.django_db
def test_a_rotation_ends_with_the_storage(proxy: Proxy, settings: Any, tmp_path: Path) -> None:
    """Each of thousands of folders would wait for all retries."""
    settings.SNAPSHOT_STORAGE = bucket_url(proxy.endpoint, tmp_path.name, max_retries="0")
    storage = open_storage(settings.SNAPSHOT_STORAGE)
    for _ in range(3):
        storage.put_stored(f"{uuid4()}/keys/{'0' * 16}", b"key")

    def end(method: str, path: str, answer: Answer) -> Answer:
        ended.append("keys" in path or bool(ended and ended[-1]))
        return DENIED if ended[-1] else answer

    ended: list[bool] = []
    proxy.fault = end
    masters = MasterKeys.parse(MASTER_KEYS)
    assert masters
    (rotated,) = rotate_each(masters)
    assert len(rotated.failed) == 2
    assert "AccessDenied" in rotated.failed[""]


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


def test_a_manifest_that_a_failed_backup_could_not_remove_goes_when_it_expires(
    live_project: Project, proxy: Proxy, settings: Any
) -> None:
    """It would keep its segments in storage beyond any retention period."""
    settings.SNAPSHOT_RETRY_MINUTES = []
    settings.ORPHAN_GRACE = timedelta(seconds=-5)
    good = taken(live_project, days_ago=1)
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)

    left = manifest_key(live_project.pk, snapshot.pk)

    def denies(method: str, path: str) -> bool:
        return method == "POST" or (method == "GET" and left in path)

    proxy.denies = denies
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.cause) == (Snapshot.State.FAILED, Cause.STORAGE)
    assert "the server answered 403 Forbidden (AccessDenied)" in snapshot.reason
    proxy.denies = lambda method, path: False
    storage = open_storage(settings.SNAPSHOT_STORAGE)
    swept(good)
    assert storage.has(left)
    prune(timezone.now() + timedelta(days=99))
    swept(good)
    assert not storage.has(left)
    assert is_offered(good)
