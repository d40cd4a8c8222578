"""Unusable storage settings are found at the start, with what to change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as portal
from pytest_django import Settings

from snapshots.apps import check_storage_settings
from snapshots.engine.errors import StorageError
from snapshots.engine.storage import open_storage

BUCKET = "s3://b/p?region=x&access_key_id=k&secret_access_key=s"
IN_THE_CLEAR = "add allow_http=true to its URL"
NO_ADDRESS = "endpoint is not an address such as https://s3.example.com"
WRONG = {
    f"{BUCKET}&endpoint=http://127.0.0.1:9000": IN_THE_CLEAR,
    f"{BUCKET}&endpoint_url=http://minio:9000&allow_http=no": IN_THE_CLEAR,
    "az://c/p?account_name=a&endpoint=http://127.0.0.1:1": IN_THE_CLEAR,
    "http://example.com/folder": IN_THE_CLEAR,
    # These made obstore panic, which no `except Exception` catches.
    f"{BUCKET}&endpoint=127.0.0.1:9000&allow_http=true": NO_ADDRESS,
    f"{BUCKET}&endpoint=minio&allow_http=true": NO_ADDRESS,
    f"{BUCKET}&endpoint=https://": NO_ADDRESS,
    f"{BUCKET}&endpoint=https://h:99999": NO_ADDRESS,
    f"{BUCKET}&read_timeout=soon": "Duration",
    f"{BUCKET}&max_retries=often": "max_retries is not a number",
    f"{BUCKET}&object_lock=perhaps": "object_lock is neither governance nor compliance",
    f"{BUCKET}&colour=red": "not valid for buckets of s3://",
    "nonsense://b/p": "nonsense",
}


@pytest.mark.parametrize("name", ["SNAPSHOT_STORAGE", "SNAPSHOT_COPY_STORAGE"])
@pytest.mark.parametrize(("url", "said"), WRONG.items())
def test_the_check_names_what_the_first_backup_would_fail_by(
    settings: Settings, name: str, url: str, said: str
) -> None:
    setattr(settings, name, url)
    errors = check_storage_settings()
    assert [error.id for error in errors] == ["snapshots.E003"]
    assert said in errors[0].msg
    second = name == "SNAPSHOT_COPY_STORAGE"
    assert errors[0].msg.startswith(f"The {'second ' if second else ''}backup storage cannot")
    with pytest.raises(StorageError, match="cannot be opened"):
        open_storage(url)


@pytest.mark.parametrize(
    "url",
    [
        f"{BUCKET}&endpoint=http://127.0.0.1:9000&allow_http=true",
        f"{BUCKET}&endpoint=https://s3.example.com",
        BUCKET,
    ],
)
def test_what_can_be_used_passes(settings: Settings, url: str) -> None:
    settings.SNAPSHOT_STORAGE = url
    assert check_storage_settings() == []


def test_a_folder_is_not_made_by_the_check(settings: Settings, tmp_path: Path) -> None:
    settings.SNAPSHOT_STORAGE = (tmp_path / "snapshots").as_uri()
    assert check_storage_settings() == []
    assert not list(tmp_path.iterdir())


def test_nothing_starts_with_an_endpoint_in_the_clear() -> None:
    """This includes an endpoint from the environment, as compose passes it on."""
    environment = {
        "SNAPSHOT_STORAGE": "s3://bucket/prefix",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": "http://minio:9000",
    }
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={**os.environ, **environment},
        cwd=portal.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode
    assert IN_THE_CLEAR in ran.stderr
