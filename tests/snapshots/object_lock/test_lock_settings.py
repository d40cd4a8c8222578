"""Object lock in a storage's URL, as both libraries interpret it."""

import subprocess
import sys
from typing import Any

import pytest

from snapshots.engine.errors import StorageError
from snapshots.engine.storage import open_storage


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/p?object_lock=forever", "object_lock is neither governance nor compliance"),
        ("s3://bucket/p?object_lock=", "object_lock is neither governance nor compliance"),
        ("file:///var/lib/backups?object_lock=governance", "not for a folder"),
        ("gs://bucket/p?object_lock=governance", "begins with s3://"),
        (
            "s3://b/p?object_lock=governance&virtual_hosted_style_request=1&endpoint=https://e.org",
            "host begins with the bucket's name",
        ),
        (
            "s3://bucket/p?object_lock=governance&read_timeout=soon",
            "read_timeout is not a duration",
        ),
    ],
)
def test_a_url_that_cannot_be_understood_is_refused(url: str, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        open_storage(url)


def endpoint_of(url: str) -> tuple[str, str, Any]:
    lock = open_storage(url).lock
    assert lock is not None
    client = lock.client
    return client.meta.endpoint_url, client.meta.region_name, client.meta.config


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "ENDPOINT_URL", "ALLOW_HTTP"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.mark.usefixtures("no_environment")
def test_both_libraries_are_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = "object_lock=governance"
    url, region, config = endpoint_of(f"s3://b/p?{lock}&AWS_Region=eu-1&aws_endpoint=https://e.org")
    assert (url, region, config.s3["addressing_style"]) == ("https://e.org", "eu-1", "path")
    url, region, config = endpoint_of(
        f"s3://b/p?{lock}&endpoint=https://b.e.org:9000&virtual_hosted_style_request=true"
        "&connect_timeout=2s&read_timeout=500ms&proxy_url=http://proxy:3128&max_retries=2"
    )
    assert (url, region) == ("https://e.org:9000", "us-east-1")
    assert config.s3["addressing_style"] == "virtual"
    assert (config.connect_timeout, config.read_timeout) == (2.0, 0.5)
    assert config.proxies == {"http": "http://proxy:3128", "https": "http://proxy:3128"}
    assert config.retries["total_max_attempts"] == 3
    monkeypatch.setenv("AWS_REGION", "eu-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://f.org")
    assert endpoint_of(f"s3://b/p?{lock}")[:2] == ("https://f.org", "eu-2")


NOTHING = """
from snapshots.engine.storage import open_storage
import sys
open_storage("s3://bucket/p?region=eu-1")
open_storage("s3://bucket/p?region=eu-1&object_lock=governance")
print("botocore" in sys.modules)
"""


def test_nothing_is_imported_until_something_is_locked() -> None:
    found = subprocess.run(
        [sys.executable, "-c", NOTHING], capture_output=True, text=True, check=True
    )
    assert found.stdout == "False\n"
