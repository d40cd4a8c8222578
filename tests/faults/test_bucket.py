"""Storage faults with a real S3 server: missing, truncated, slow and reordered answers."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from pytest_django import Settings

from backups_portal.projects.models import Project
from restores.models import Restore
from restores.restore_run import run_restore
from snapshots.engine.errors import MissingObjectError
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests.faults.conftest import DUE
from tests.faults.laboratory import ask, check_what_is_there
from tests.s3 import Answer, Fault, Proxy, bucket_url, one_of, proxy_before, s3_server, well

# Hanging or repeatedly failing requests end within seconds.
IMPATIENT = {"read_timeout": "1s", "timeout": "3s", "max_retries": "2", "retry_seconds": "4"}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def proxy(endpoint: str) -> Iterator[Proxy]:
    with proxy_before(endpoint) as proxy:
        yield proxy


@pytest.fixture
def storage_url(settings: Settings, proxy: Proxy, tmp_path: Path) -> str:
    """A bucket instead of the other tests' folder."""
    settings.SNAPSHOT_STORAGE = bucket_url(proxy.endpoint, tmp_path.name, **IMPATIENT)
    return settings.SNAPSHOT_STORAGE


def is_out_of_order(method: str, path: str, answer: Answer) -> Answer:
    return Answer(503, [], b"<Error><Code>SlowDown</Code></Error>")


def is_missing(method: str, path: str, answer: Answer) -> Answer:
    if method != "GET" or "/segments/" not in path:
        return answer
    return Answer(404, [], b"<Error><Code>NoSuchKey</Code></Error>")


def is_cut(method: str, path: str, answer: Answer) -> Answer:
    """Close the connection in the middle of the announced content."""
    if method != "GET" or "/segments/" not in path:
        return answer
    return replace(answer, sent=len(answer.body) // 2)


def is_slow(method: str, path: str, answer: Answer) -> Answer:
    return replace(answer, delay=1.5)


@pytest.mark.parametrize("fault", [is_out_of_order, is_cut, is_slow])
def test_what_fails_now_and_then_is_asked_again_and_nobody_notices(
    snapshot: Snapshot, proxy: Proxy, fault: Fault
) -> None:
    (pk,) = queue_due(DUE.replace(day=2))
    restore = ask(snapshot, "From a bad place")
    proxy.fault = one_of(3, fault)
    take(pk)
    run_restore(restore.pk)
    proxy.fault = well
    assert proxy.harmed > 1
    again = Snapshot.objects.get(pk=pk)
    restore.refresh_from_db()
    assert (again.state, again.failures) == (Snapshot.State.COMPLETED, 0), again.reason
    assert restore.state == Restore.State.COMPLETED, restore.reason
    check_what_is_there()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (is_out_of_order, "could not"),
        (is_missing, "The backup storage lacks"),
        (is_cut, "could not read"),
        (is_slow, "could not"),
    ],
)
def test_what_always_fails_ends_soon_and_is_a_reason(
    snapshot: Snapshot, proxy: Proxy, fault: Fault, said: str
) -> None:
    restore = ask(snapshot, "From a bad place")
    proxy.fault = fault
    for _ in range(3):
        began = monotonic()
        run_restore(restore.pk)
        assert monotonic() - began < 15
    restore.refresh_from_db()
    assert restore.state == Restore.State.FAILED
    assert said in restore.reason
    assert "Debug source" not in restore.reason
    proxy.fault = well
    assert proxy.harmed
    again = ask(snapshot, "From a good place")
    run_restore(again.pk)
    check_what_is_there()
    again.refresh_from_db()
    assert again.state == Restore.State.COMPLETED, again.reason


def test_a_bucket_that_takes_nothing_fails_the_snapshot_and_the_next_needs_nobody(
    make_project: Callable[[str], Project], proxy: Proxy
) -> None:
    make_project("Cold Chain")
    (pk,) = queue_due(DUE)
    proxy.fault = is_out_of_order
    for _ in range(4):
        take(pk)
    failed = Snapshot.objects.get(pk=pk)
    assert failed.state == Snapshot.State.FAILED
    assert "The backup storage could not" in failed.reason
    proxy.fault = well
    (following,) = queue_due(DUE.replace(day=2))
    take(following)
    assert Snapshot.objects.get(pk=following).state == Snapshot.State.COMPLETED
    check_what_is_there()


def test_an_object_that_is_gone_is_found_missing(snapshot: Snapshot, proxy: Proxy) -> None:
    verify(snapshot)
    proxy.fault = is_missing
    with pytest.raises(MissingObjectError):
        verify(snapshot)
