"""A forged manifest under a snapshot's name in writable storage is always detected.

The table combines every forgery with everything that reads manifests, with the digest that is
recorded at publication and without it, which older snapshots lack.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.replaced_ids.id_lookup import variables_of_restore
from restores.errors import RestoreRefusedError
from restores.models import Proof, Restore
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from restores.restore_requests import NewProject, request_restore
from restores.warm_restores import switch_warm_restore
from snapshots.archive_download import fetch_download
from snapshots.engine.errors import DamagedSnapshotError, EngineError
from snapshots.engine.storage import Storage, open_storage
from snapshots.errors import DownloadRefusedError
from snapshots.integrity.catalogue_rebuild import rebuild_each
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.integrity.verification import verify, verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy, queue_copies
from snapshots.replication.copy_sweep import sweep_copies
from snapshots.replication.repair import repair
from snapshots.reports.contents import left_out, look_inside, recall_inside
from snapshots.reports.lost_rows import find_devices, find_rows
from snapshots.reports.snapshot_comparison import compare_snapshots, compare_with_now
from snapshots.run.incremental_base import find_base
from snapshots.storages.configured_storages import reading_storage
from tests.factories import make_account, make_restore, make_snapshot
from tests.projectdatabases import DEVICE, Target, add_rows, open_database
from tests.restores.test_restore_run import run
from tests.takensnapshots import taken

STRANGER = UUID("22222222-2222-4222-8222-222222222222")
Forgery = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


def yesterdays(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    return yesterday


def yesterdays_renamed(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    return {**yesterday, "snapshot_id": today["snapshot_id"]}


def yesterdays_in_todays_dress(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    """Take only the rows of variables from yesterday's manifest, everything else from today's."""
    of_variables = [item for item in yesterday["segments"] if item["table"] == "variable"]
    others = [item for item in today["segments"] if item["table"] != "variable"]
    return {**today, "segments": [*others, *of_variables]}


def strangers(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(today).replace(today["project_id"], str(STRANGER))
    return dict(json.loads(text))


def strangers_renamed(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    return {**strangers(today, yesterday), "project_id": today["project_id"]}


def cut(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    return {**today, "segments": [i for i in today["segments"] if i["table"] != "variable"]}


def counts(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    return {**today, "segments": [fewer(item) for item in today["segments"]]}


def fewer(item: dict[str, Any]) -> dict[str, Any]:
    if not item["chunk_rows"]:
        return item
    chunk, rows = next(iter(item["chunk_rows"].items()))
    return {**item, "rows": item["rows"] - 1, "chunk_rows": {**item["chunk_rows"], chunk: rows - 1}}


def moments(today: dict[str, Any], yesterday: dict[str, Any]) -> dict[str, Any]:
    moment = datetime.fromisoformat(today["taken_at"]) - timedelta(days=1)
    return {**today, "taken_at": moment.isoformat()}


# Each forgery with part of its error message.
FORGERIES: dict[Forgery, str] = {
    yesterdays: "it belongs to the backup that was taken on",
    yesterdays_renamed: "rows",
    yesterdays_in_todays_dress: "rows",
    strangers: "it belongs to another project",
    strangers_renamed: "was changed in storage",
    cut: "was changed in storage",
    counts: "rows",
    moments: "it was taken on",
}


@dataclass
class Scene:
    """A project with the backups of two days, and a copy of each."""

    project: Project
    yesterday: Snapshot
    today: Snapshot
    first: Storage
    second: Storage

    def forge(self, forgery: Forgery, *, is_recorded: bool, storage: Storage | None = None) -> None:
        """Put a forgery in place of today's manifest, in an otherwise unchanged storage."""
        for snapshot in (self.yesterday, self.today):
            sha256 = load_manifest(self.second, snapshot).sha256 if is_recorded else ""
            Snapshot.objects.filter(pk=snapshot.pk).update(
                manifest_sha256=sha256, verdict="unproven", verdict_reason="", proven_at=None
            )
            snapshot.refresh_from_db()
        documents = [json.loads(self.second.get(s.manifest)) for s in (self.today, self.yesterday)]
        (storage or self.first).put(
            self.today.manifest, json.dumps(forgery(*documents), separators=(",", ":")).encode()
        )

    def mend(self) -> None:
        self.first.put(self.today.manifest, self.kept)
        self.second.put(self.today.manifest, self.kept)
        self.today.refresh_from_db()

    def __post_init__(self) -> None:
        self.kept = self.first.get(self.today.manifest)


@pytest.fixture
def scene(project: Project, settings: Any, tmp_path: Path) -> Scene:
    url = f"file://{tmp_path / 'copies'}"
    yesterday = taken(project, 1)
    with open_database(Target(project_dsn(project), project.prefix)) as connection:
        add_rows(connection, 1, 5)
    today = taken(project, 0)
    settings.SNAPSHOT_COPY_STORAGE = url
    queue_copies([project.pk], timezone.now(), failed_before=timezone.now())
    for snapshot in (yesterday, today):
        copy(snapshot.pk)
    assert set(SnapshotCopy.objects.values_list("state", flat=True)) == {"copied"}
    settings.SNAPSHOT_COPY_STORAGE = ""
    return Scene(
        project, yesterday, today, open_storage(settings.SNAPSHOT_STORAGE), open_storage(url)
    )


def said(work: Callable[[], Any]) -> str:
    """Return a reader's error about a manifest; "" if it accepts it."""
    try:
        work()
    except (EngineError, DownloadRefusedError, RestoreRefusedError) as error:
        return str(error)
    return ""


def proof_of(snapshot: Snapshot) -> str:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    run_proof(proof.pk)
    ended = Proof.objects.get(pk=proof.pk)
    snapshot.refresh_from_db()
    is_evidence = (ended.state, ended.cause, snapshot.verdict) == (
        "failed",
        Cause.DAMAGED,
        "failed",
    )
    Snapshot.objects.filter(pk=snapshot.pk).update(verdict="unproven", verdict_reason="")
    return ended.reason if is_evidence else ""


def restore_of(snapshot: Snapshot) -> str:
    restore = run(make_restore(snapshot, requested_by=snapshot.project.created_by))
    is_evidence = (restore.state, restore.cause) == ("failed", Cause.DAMAGED)
    Proof.objects.filter(snapshot=snapshot).update(state="given_up", reason="x")
    return restore.reason if is_evidence else ""


def request_of(snapshot: Snapshot) -> str:
    return said(
        lambda: request_restore(
            snapshot=snapshot,
            actor=snapshot.project.created_by,
            wanted=NewProject(
                name=f"Restored {uuid4()}",
                accepted_charges=True,
            ),
        )
    )


def base_of(snapshot: Snapshot) -> str:
    base = find_base(reading_storage(), make_snapshot(snapshot.project, **FAR))
    Snapshot.objects.filter(local_date=FAR["taken_at"].date()).delete()
    return "" if base.manifest else EVERYTHING


FAR: dict[str, Any] = {"state": "queued", "taken_at": timezone.now() + timedelta(days=9)}


def rows_of(snapshot: Snapshot) -> str:
    holdings = find_rows(snapshot.project, DEVICE).holdings
    (mine,) = [holding for holding in holdings if holding.snapshot == snapshot]
    return mine.error


def devices_of(snapshot: Snapshot) -> str:
    return EVERYTHING if find_devices(snapshot.project, "Truck").unreadable == 1 else ""


def sweep_of(snapshot: Snapshot) -> str:
    sweep_project(snapshot.project_id)
    snapshot.refresh_from_db()
    reason = snapshot.verdict_reason
    Snapshot.objects.filter(pk=snapshot.pk).update(verdict="unproven", verdict_reason="")
    return reason


# Some readers continue without it, and say so in the log.
EVERYTHING = " ".join(FORGERIES.values())


READERS: dict[str, Callable[[Snapshot], str]] = {
    "verify": lambda snapshot: said(lambda: verify(snapshot)),
    "proof": proof_of,
    "request": request_of,
    "restore": restore_of,
    "ids": lambda snapshot: said(
        lambda: list(variables_of_restore(Restore.objects.filter(state="completed").get()))
    ),
    "compare": lambda snapshot: said(lambda: compare_snapshots(snapshot, snapshot)),
    "compare with now": lambda snapshot: said(lambda: compare_with_now(snapshot)),
    "inside": lambda snapshot: said(lambda: look_inside(snapshot)),
    "inside, on pages": lambda snapshot: said(lambda: recall_inside(snapshot)),
    "left out": lambda snapshot: said(lambda: left_out(snapshot)),
    "find rows": rows_of,
    "find devices": devices_of,
    "download": lambda snapshot: said(
        lambda: list(fetch_download(snapshot=snapshot, actor=make_account()).pieces)
    ),
    "base": base_of,
    "sweep": sweep_of,
}


def test_every_reader_refuses_every_forgery_and_says_what_it_is(scene: Scene) -> None:
    assert run(make_restore(scene.today, requested_by=scene.project.created_by)).project
    unnoticed = []
    for (forgery, sentence), is_recorded in product(FORGERIES.items(), (True, False)):
        scene.forge(forgery, is_recorded=is_recorded)
        unnoticed += [
            (forgery.__name__, is_recorded, name, told)
            for name, reader in READERS.items()
            if not re.search(sentence, told := reader(scene.today))
        ]
    assert unnoticed == []
    scene.mend()
    assert [name for name in QUIET if READERS[name](scene.today)] == []


# These report nothing when all is well.
QUIET = [name for name in READERS if name not in ("proof", "restore", "request")]


def test_a_copy_takes_the_place_of_a_forgery_and_a_repair_puts_it_back(
    scene: Scene, settings: Any, tmp_path: Path
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    for forgery, is_recorded in product(FORGERIES, (True, False)):
        scene.forge(forgery, is_recorded=is_recorded)
        assert look_inside(scene.today).devices[0].rows == 15, forgery
        assert b"".join(fetch_download(snapshot=scene.today, actor=make_account()).pieces)
        repair(scene.today)
        assert scene.first.get(scene.today.manifest) == scene.kept
        assert verify(scene.today).rows == scene.today.rows


def test_a_forgery_in_the_second_storage_is_no_copy(
    scene: Scene, settings: Any, tmp_path: Path
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    copied = SnapshotCopy.objects.filter(pk=scene.today.pk)
    for (forgery, sentence), is_recorded in product(FORGERIES.items(), (True, False)):
        scene.forge(forgery, is_recorded=is_recorded, storage=scene.second)
        for work in (verify_copy, repair):
            with pytest.raises(DamagedSnapshotError, match=sentence):
                work(scene.today)
        copied.update(state="copied")
        sweep_copies(scene.project.pk)
        assert copied.get().state == "failed", forgery
        copied.update(state="queued", lease_until=timezone.now(), attempts=0)
        copy(scene.today.pk)
        assert (copied.get().state, copied.get().reason) == ("copied", "")
        assert scene.second.get(scene.today.manifest) == scene.kept


def test_a_forgery_does_not_use_up_the_database_that_is_kept_warm(scene: Scene) -> None:
    switch_warm_restore(scene.project, on=True)
    proof = queue_proof(scene.today.pk)
    assert proof
    run_proof(proof.pk)
    assert Proof.objects.get(pk=proof.pk).is_kept
    scene.first.put(scene.today.manifest, scene.second.get(scene.yesterday.manifest))
    restore = run(make_restore(scene.today, requested_by=scene.project.created_by))
    assert (restore.state, restore.cause) == ("failed", Cause.DAMAGED)
    assert Proof.objects.get(pk=proof.pk).is_kept
    scene.mend()
    restore = run(make_restore(scene.today, requested_by=scene.project.created_by))
    assert (restore.state, restore.was_warm) == ("completed", True)


def test_what_holds_gets_its_digest_recorded(scene: Scene) -> None:
    digest = scene.today.manifest_sha256
    assert digest == hashlib.sha256(scene.kept).hexdigest()
    for check in (verify, proof_of, restore_of):
        Snapshot.objects.update(manifest_sha256="")
        scene.today.refresh_from_db()
        check(scene.today)
        scene.today.refresh_from_db()
        assert scene.today.manifest_sha256 == digest


def test_a_forgery_comes_not_back_with_the_catalogue(scene: Scene) -> None:
    """Only the manifests are known, so each is compared with its own name and contents."""
    owner = scene.project.created_by
    for forgery in FORGERIES:
        scene.forge(forgery, is_recorded=True)
        (known,) = rebuild_each(scene.first, owner)
        assert (known.known, list(known.damaged)) == (1, [scene.today.manifest]), forgery
    rows = list(Snapshot.objects.values())
    for forgery in (yesterdays, yesterdays_in_todays_dress, strangers, strangers_renamed, cut):
        scene.forge(forgery, is_recorded=True)
        Snapshot.objects.all().delete()
        (rebuilt,) = rebuild_each(scene.first, owner)
        assert (rebuilt.added, list(rebuilt.damaged)) == (1, [scene.today.manifest]), forgery
        Snapshot.objects.all().delete()
        Snapshot.objects.bulk_create(Snapshot(**row) for row in rows)
    scene.mend()
    Snapshot.objects.all().delete()
    (rebuilt,) = rebuild_each(scene.first, owner)
    assert (rebuilt.added, rebuilt.damaged) == (2, {})
    assert verify(Snapshot.objects.get(pk=scene.today.pk)).rows == scene.today.rows
