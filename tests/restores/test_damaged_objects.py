"""Bytes that changed in storage are found by checks, proofs and restores, encrypted or not."""

from collections.abc import Callable
from typing import Any

import pytest

from backups_portal.accounts.models import Account
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Project
from restores.models import Proof, Restore
from restores.proof_run import run_proof
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import snapshot_storage
from tests.restores.test_restore_run import ask, databases, run

Harm = Callable[[bytes, bytes], bytes]
# What becomes of an object's bytes, given those of another one.
HARMS: dict[str, Harm] = {
    "a flipped bit": lambda own, other: own[:-20] + bytes([own[-20] ^ 1]) + own[-19:],
    "another first byte": lambda own, other: b"\x00" + own[1:],
    "cut off": lambda own, other: own[:-7],
    "cut to the head": lambda own, other: own[:9],
    "empty": lambda own, other: b"",
    "longer": lambda own, other: own + b"\n",
    "another object": lambda own, other: other,
}


def objects_of(snapshot: Snapshot) -> dict[str, str]:
    """Return the key of one object of each kind; contents are read by checks only."""
    manifest = Manifest.load(snapshot_storage(), snapshot.manifest)
    stored = [item for item in (*manifest.segments, *manifest.contents) if not item.inline]
    return {"manifest": snapshot.manifest, **{item.table: item.key for item in stored}}


@pytest.fixture(params=["", f"one:{'a1' * 32}"], ids=["plain", "encrypted"], autouse=True)
def _keys(settings: Any, request: pytest.FixtureRequest) -> None:
    settings.SNAPSHOT_MASTER_KEYS = request.param


@pytest.fixture
def stored(settings: Any) -> Storage:
    return open_storage(settings.SNAPSHOT_STORAGE)


def test_a_check_finds_damage_in_every_kind_of_object(snapshot: Snapshot, stored: Storage) -> None:
    kinds = objects_of(snapshot)
    other = stored.get_stored(kinds["profile"])
    missed = []
    for kind, key in kinds.items():
        own = stored.get_stored(key)
        for name, harm in HARMS.items():
            stored.put_stored(key, harm(own, other if kind != "profile" else own + own))
            try:
                verify(snapshot)
                missed.append((kind, name, "nothing"))
            except DamagedSnapshotError as error:
                if "." not in str(error) or "\n" in str(error):
                    missed.append((kind, name, str(error)))
        stored.put_stored(key, own)
    assert missed == []
    assert verify(snapshot).rows == snapshot.rows


@pytest.mark.parametrize(
    ("kind", "name"),
    [("manifest", "a flipped bit"), ("device", "another object"), ("variable", "cut to the head")],
)
def test_a_proof_fails_and_a_restore_leaves_nothing(
    snapshot: Snapshot, stored: Storage, owner: Account, kind: str, name: str
) -> None:
    kinds, before = objects_of(snapshot), databases()
    wanted = ask(snapshot, owner)
    own, other = stored.get_stored(kinds[kind]), stored.get_stored(kinds["profile"])
    stored.put_stored(kinds[kind], HARMS[name](own, other))
    restore = run(wanted)
    # A restore that finds damage queues a proof, which decides.
    (proof,) = Proof.objects.all()
    run_proof(proof.pk)
    proof.refresh_from_db()
    snapshot.refresh_from_db()
    assert (restore.state, restore.cause) == (Restore.State.FAILED, Cause.DAMAGED)
    assert (proof.state, snapshot.verdict) == (Proof.State.FAILED, Snapshot.Verdict.FAILED)
    assert databases() == before
    assert Project.objects.count() == 1
