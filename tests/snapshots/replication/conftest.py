"""A second storage in addition to the first one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.lib import liveness
from snapshots.engine.storage import Storage, open_storage
from tests.s3 import bucket_url, s3_server
from tests.snapshots.replication.copies import OLD


@pytest.fixture(scope="package")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture(autouse=True)
def _no_trouble_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "KEY", f"test:{timezone.now()}")


@pytest.fixture
def second(stored: Storage, endpoint: str, settings: Any, tmp_path: Path) -> Storage:
    """A second storage that is fully described by its setting."""
    settings.SNAPSHOT_COPY_STORAGE = bucket_url(endpoint, tmp_path.name)
    return open_storage(settings.SNAPSHOT_COPY_STORAGE)


@pytest.fixture(params=["", f"one:{OLD}"], ids=["open", "encrypted"])
def master_keys(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.SNAPSHOT_MASTER_KEYS = request.param
    return str(request.param)
