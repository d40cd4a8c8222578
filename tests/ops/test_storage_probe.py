"""Trying the backup storage, and what a try leaves whose process was killed."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from backups_portal.ops.storage_probe import LONGEST_TRY, forget_probes, storage_works
from snapshots.engine.layout import PROBES
from snapshots.storages.configured_storages import snapshot_storage

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True, params=["", f"a:{'ab' * 32}"], ids=["open", "encrypted"])
def _keys(request: pytest.FixtureRequest, settings: Settings, storage_url: str) -> None:
    settings.SNAPSHOT_MASTER_KEYS = request.param


def probes() -> set[str]:
    return {item.key for item in snapshot_storage().list(f"{PROBES}/")}


def test_what_a_killed_try_has_left_goes_when_it_is_old() -> None:
    assert storage_works()
    keys = probes()
    snapshot_storage().put(f"{PROBES}/left", b"behind")
    now = timezone.now()

    assert forget_probes(now) == 0
    assert probes() == {*keys, f"{PROBES}/left"}
    assert forget_probes(now + LONGEST_TRY + timedelta(minutes=1)) == 1
    assert probes() == keys
    assert storage_works()
