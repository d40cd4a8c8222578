"""Snapshots in a bucket on a real S3 server, from the first backup to its removal."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from restores.snapshot_loader import Target
from snapshots.engine.errors import ExistingObjectError, MissingObjectError, StorageError
from snapshots.engine.storage import Storage, open_storage, place_of
from snapshots.integrity.catalogue_rebuild import rebuild_each
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_account, make_snapshot
from tests.projectdatabases import add_rows, open_database
from tests.s3 import KEY, SECRET, Answer, bucket_url, one_of, proxy_before, s3_server
from tests.takensnapshots import prune, taken

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with an empty bucket."""
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def bucket(
    stored: Storage,
    endpoint: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Storage:
    """A separate folder for this test in the bucket, as a deployment's settings name it."""
    for name, value in (
        ("ACCESS_KEY_ID", KEY),
        ("SECRET_ACCESS_KEY", SECRET),
        ("REGION", "us-east-1"),
        ("ENDPOINT_URL", endpoint),
        ("ALLOW_HTTP", "true"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    settings.SNAPSHOT_STORAGE = f"s3://bucket/{tmp_path.name}"
    return open_storage(settings.SNAPSHOT_STORAGE)


def test_a_snapshot_is_stored_read_and_removed(live_project: Project, bucket: Storage) -> None:
    first = taken(live_project, 1)
    with open_database(Target(project_dsn(live_project), live_project.prefix)) as connection:
        add_rows(connection, 10, 5)
    second = taken(live_project, 0)
    assert not second.is_full
    assert (verify(first).rows, verify(second).rows) == (first.rows, second.rows)

    Snapshot.objects.filter(pk=first.pk).update(taken_at=timezone.now() - timedelta(days=99))
    assert [item.snapshot_id for item in prune(timezone.now()) if item.goes] == [first.id]
    with pytest.raises(MissingObjectError):
        bucket.get(first.manifest)
    swept = sweep_project(live_project.id)
    assert swept is not None
    assert swept.missing == ()
    assert verify(second).rows == second.rows


def test_lost_objects_are_asked_for_side_by_side(
    live_project: Project, bucket: Storage, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket that has lost thousands must not hold up its project for hours."""
    taken(live_project, 0)
    lost = [item.key for item in bucket.list(f"{live_project.pk}/segments/")]
    for key in lost:
        bucket.delete(key)
    asked, is_beside = threading.Lock(), threading.Event()

    def hold(method: str, path: str, answer: Answer) -> Answer:
        if answer.status == 404:
            # The first request is held until another one comes beside it.
            if asked.acquire(blocking=False):
                is_beside.wait(1)
                asked.release()
            else:
                is_beside.set()
        return answer

    with proxy_before(endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.fault = hold
        swept = sweep_project(live_project.id)
    assert swept is not None
    assert swept.missing == tuple(sorted(lost))
    assert is_beside.is_set()


def test_the_catalogue_comes_back_out_of_a_bucket(live_project: Project, bucket: Storage) -> None:
    snapshot = taken(live_project, 0)
    Project.objects.all().delete()
    rebuilt = [item for item in rebuild_each(bucket, make_account()) if item.added]
    assert [item.project_id for item in rebuilt] == [live_project.id]
    assert verify(Snapshot.objects.get(pk=snapshot.pk)).rows == snapshot.rows


def test_a_bucket_that_is_away_is_a_reason(
    live_project: Project, bucket: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 32)
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.FAILED
    assert "The backup storage could not" in snapshot.reason
    with psycopg.connect(project_dsn(live_project)) as connection:
        assert connection.execute("SELECT count(*) FROM variable").fetchone() == (10,)


@pytest.fixture
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its URL describes a bucket."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "ENDPOINT_URL", "ALLOW_HTTP"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.mark.usefixtures("without_environment")
def test_a_url_says_everything_of_a_bucket(endpoint: str, tmp_path: Path) -> None:
    storage = open_storage(bucket_url(endpoint, tmp_path.name))
    storage.put("a/b", b"content")
    assert storage.get("a/b") == b"content"
    assert [item.key for item in storage.list("a/")] == ["a/b"]


@pytest.mark.usefixtures("without_environment")
def test_a_secret_key_is_taken_as_it_is_pasted(tmp_path: Path) -> None:
    secret = "ab+cd/ef+0123456789abcdef=="
    with s3_server(tmp_path / "s3", secret=secret) as endpoint:
        url = bucket_url(endpoint, "p", secret="pasted").replace("pasted", secret)
        open_storage(url).put("a", b"content")
        assert open_storage(url).get("a") == b"content"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/p?regoin=eu-1", "'regoin' is not valid"),
        ("s3://bucket/p?max_retries=many", "max_retries is not a number"),
        ("file:///var/lib/backups?region=eu-1", "a folder takes no parameters"),
        ("ftp://host/folder", "Unable to recognise URL"),
    ],
)
def test_a_url_that_cannot_be_understood_is_refused(url: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as refused:
        open_storage(url)
    assert "Debug source" not in str(refused.value)


def test_a_place_is_told_without_what_opens_it() -> None:
    place = place_of(bucket_url("https://s3.example.com", "p"))
    assert place == "s3://bucket/p at https://s3.example.com"
    assert place_of("file:///var/lib/backups") == "file:///var/lib/backups"


@pytest.mark.usefixtures("without_environment")
def test_a_large_object_goes_in_parts_each_with_a_checksum(endpoint: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 50_000
    with proxy_before(endpoint) as proxy:
        storage = open_storage(bucket_url(proxy.endpoint, tmp_path.name))
        storage.put("large", content)
        assert storage.get("large") == content
    parts = [path for method, path in proxy.asked if method == "PUT" and "partNumber=" in path]
    assert len(parts) == 3, "12.8 MB in parts of 5 MiB"
    assert proxy.checksums == len(parts)


@pytest.mark.usefixtures("without_environment")
def test_a_bucket_that_knows_no_checksums_is_not_given_any(endpoint: str, tmp_path: Path) -> None:
    with proxy_before(endpoint) as proxy:
        url = bucket_url(proxy.endpoint, tmp_path.name, checksum_algorithm="none")
        open_storage(url).put("small", b"content")
    assert (len(proxy.asked), proxy.checksums) == (1, 0)


def taken_already(method: str, path: str, answer: Answer) -> Answer:
    return Answer(412, [], b"<Error><Code>PreconditionFailed</Code></Error>")


def unknown(method: str, path: str, answer: Answer) -> Answer:
    return Answer(501, [], b"<Error><Code>NotImplemented</Code></Error>")


@pytest.mark.usefixtures("without_environment")
def test_of_two_writers_one_succeeds_where_the_server_knows_how(
    endpoint: str, tmp_path: Path
) -> None:
    with proxy_before(endpoint) as proxy:
        storage = open_storage(bucket_url(proxy.endpoint, tmp_path.name))
        storage.put_new("manifest", b"mine")
        assert proxy.conditions == 1
        proxy.fault = taken_already
        with pytest.raises(ExistingObjectError):
            storage.put_new("manifest", b"yours")


@pytest.mark.usefixtures("without_environment")
def test_a_server_that_knows_no_conditions_is_written_to_all_the_same(
    endpoint: str, tmp_path: Path
) -> None:
    with proxy_before(endpoint) as proxy:
        storage = open_storage(bucket_url(proxy.endpoint, tmp_path.name))
        proxy.fault = one_of(1000, unknown)
        storage.put_new("manifest", b"mine")
        assert [method for method, _ in proxy.asked] == ["PUT", "PUT"]
        assert storage.get("manifest") == b"mine"
