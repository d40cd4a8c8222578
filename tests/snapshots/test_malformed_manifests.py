"""With any content of a manifest, readers either work or report damage or a newer version.

Nothing is recorded about the snapshot except its existence, as for the oldest ones:
tests/restores/test_forged_manifests.py tests recorded figures and digests.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Project
from restores.models import Proof
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from snapshots.archive_download import fetch_download
from snapshots.engine.errors import DamagedSnapshotError, EngineError, UnsupportedFormatError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.errors import DownloadRefusedError
from snapshots.integrity.catalogue_rebuild import rebuild_each
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy, queue_copies
from snapshots.reports.contents import left_out, look_inside
from snapshots.reports.lost_rows import find_devices, find_rows
from snapshots.reports.snapshot_comparison import compare_snapshots, compare_with_now
from snapshots.run.snapshot_run import take
from tests.factories import make_account, make_snapshot
from tests.projectdatabases import DEVICE

pytestmark = pytest.mark.django_db
Document = dict[str, Any]
Reader = Callable[[Snapshot, Storage], Any]
CAUSES = {Cause.DAMAGED, Cause.VERSION}
UNRECORDED: dict[str, Any] = {
    "manifest_sha256": "",
    "rows": None,
    "logical_bytes": None,
    "stored_bytes": None,
    "table_rows": {},
}


@pytest.fixture
def snapshot(live_project: Project, stored: Storage) -> Snapshot:
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    Snapshot.objects.filter(pk=snapshot.pk).update(**UNRECORDED)
    return Snapshot.objects.get(pk=snapshot.pk)


@contextmanager
def undone() -> Iterator[None]:
    """Roll back all changes in the control database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def rebuild(snapshot: Snapshot, storage: Storage) -> None:
    with undone():
        Project.objects.filter(pk=snapshot.project_id).delete()
        (rebuilt,) = rebuild_each(storage, make_account())
        assert rebuilt.added + len(rebuilt.damaged) == 1


def sweep(snapshot: Snapshot, storage: Storage) -> None:
    before = {item.key for item in storage.list(f"{snapshot.project_id}/segments/")}
    with undone():
        sweep_project(snapshot.project_id)
    after = {item.key for item in storage.list(f"{snapshot.project_id}/segments/")}
    assert before == after


def copied(snapshot: Snapshot, storage: Storage) -> None:
    with undone(), override_settings(SNAPSHOT_COPY_STORAGE=f"{settings.SNAPSHOT_STORAGE}-copies"):
        queue_copies([snapshot.project_id], timezone.now(), failed_before=timezone.now())
        copy(snapshot.pk)
        row = SnapshotCopy.objects.get(pk=snapshot.pk)
        assert row.state == "copied" or row.cause in CAUSES, row.reason


def found(snapshot: Snapshot, storage: Storage) -> None:
    find_rows(snapshot.project, DEVICE)
    find_devices(snapshot.project, "Truck")


def next_one(snapshot: Snapshot, storage: Storage) -> None:
    """Take the next backup, which does without unreadable predecessors."""
    with undone():
        queued = make_snapshot(
            snapshot.project, state="queued", taken_at=timezone.now() + timedelta(days=1)
        )
        take(queued.pk)
        queued.refresh_from_db()
        assert queued.state == Snapshot.State.COMPLETED, queued.reason


READERS: list[Reader] = [
    lambda snapshot, _: verify(snapshot),
    lambda snapshot, _: look_inside(snapshot),
    lambda snapshot, _: left_out(snapshot),
    lambda snapshot, _: compare_snapshots(snapshot, snapshot),
    lambda snapshot, _: compare_with_now(snapshot),
    lambda snapshot, _: list(fetch_download(snapshot=snapshot, actor=make_account()).pieces),
    found,
    rebuild,
    sweep,
    copied,
]


def refusal_of(reader: Reader, snapshot: Snapshot, storage: Storage) -> Cause | None:
    """Return the cause of a reader's refusal; None if it works."""
    try:
        reader(snapshot, storage)
    except EngineError as error:
        return error.cause
    except DownloadRefusedError as refused:
        return refused.__cause__.cause if isinstance(refused.__cause__, EngineError) else None
    return None


def read_all(snapshot: Snapshot, storage: Storage, content: bytes) -> None:
    """Run every reader, which must work or refuse; any other error fails the test."""
    storage.put(snapshot.manifest, content)
    for reader in READERS:
        cause = refusal_of(reader, snapshot, storage)
        assert cause is None or cause in CAUSES, reader


# Readers take longer than the parser.
MAX_READ = 8
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 0, 1]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "\x00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "../../x", "variable"]
    ),
    st.sampled_from([[], {}, [[]], {"": {}}, [None], {"0": -1}]),
)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of a document with each of its keys."""
    keys = list(node) if isinstance(node, dict) else []
    for key in range(len(node)) if isinstance(node, list) else keys:
        yield node, key
        yield from places(node[key])


@st.composite
def mutations(draw: st.DrawFn, document: Document) -> bytes:
    """Remove, replace, duplicate or swap one to three values of a document."""
    changed = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(changed))
        if not found:
            break
        # Draw paths with few and with many values equally often.
        depth = draw(st.sampled_from(["any", "top"]))
        near = found if depth == "any" else [one for one in found if one[0] is changed]
        node, key = draw(st.sampled_from(near or found))
        kind = draw(st.sampled_from(["junk", "remove", "double", "swap", "rename"]))
        if kind == "junk":
            node[key] = draw(JUNK)
        elif kind == "remove":
            del node[key]
        elif kind == "double" and isinstance(node, list):
            node.append(node[key])
        elif kind == "swap":
            other, place = draw(st.sampled_from(found))
            if place in (range(len(other)) if isinstance(other, list) else other):
                node[key] = json.loads(json.dumps(other[place]))
        elif isinstance(node, dict):
            node[draw(st.text(max_size=5))] = node.pop(key)
    return json.dumps(changed, separators=(",", ":")).encode()


BYTES = [
    b"",
    b"\x00",
    b"{",
    b"[]",
    b"null",
    b"2",
    b'"manifest"',
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"[" * 200_000,
    b'{"format":' * 5_000,
    b'{"format": 2}',
    b'{"format": 1}',
    b'{"format": 4}',
    b'{"format": -1}',
    b'{"format": true}',
    b'{"format": "2"}',
    b'{"format": 2.0}',
    b'{"format": NaN}',
    b'{"format": 99999999999999999999999999}',
    b'{"format": ' + b"9" * 5_000 + b"}",
    b'{"format": [2]}',
    b'{"format": {}}',
    b"PAR1" * 1_000,
    b"BPE\x01" + b"x" * 100,
]


@pytest.mark.parametrize("content", BYTES, ids=range(len(BYTES)))
def test_bytes_that_are_no_manifest(content: bytes) -> None:
    with pytest.raises((DamagedSnapshotError, UnsupportedFormatError)):
        Manifest.from_json(content)


def test_a_name_that_is_there_twice_is_damage(snapshot: Snapshot, stored: Storage) -> None:
    content = stored.get(snapshot.manifest)
    Manifest.from_json(content)
    for doubled in (
        b'{"format":2,' + content[1:],
        content.replace(b'"rows":', b'"rows":0,"rows":'),
    ):
        with pytest.raises(DamagedSnapshotError):
            Manifest.from_json(doubled)


def test_every_reader_works_or_says_damaged(snapshot: Snapshot, stored: Storage) -> None:
    good = Manifest.load(stored, snapshot.manifest)
    document = json.loads(good.to_json())
    accepted = refused = 0

    @hypothesis_settings(
        max_examples=250,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(document))
    def check(content: bytes) -> None:
        nonlocal accepted, refused
        try:
            is_other = Manifest.from_json(content) != good
            accepted += is_other
        except (DamagedSnapshotError, UnsupportedFormatError):
            is_other = False
            refused += 1
        # Readers treat all refused manifests alike.
        if (is_other and accepted <= MAX_READ) or refused % 100 == 1:
            read_all(snapshot, stored, content)

    check()
    assert refused > 100
    # The generator produces changes that a parser alone accepts.
    assert accepted >= MAX_READ


def table_of(document: Document, name: str) -> Document:
    return next(item for item in document["segments"] if item["table"] == name)


def swap_tables(document: Document) -> None:
    """Exchange the rows of two tables."""
    one, other = table_of(document, "device"), table_of(document, "series")
    one["table"], other["table"] = other["table"], one["table"]


def swap_contents(document: Document) -> None:
    one, other = document["contents"][-2:]
    one["table"], other["table"] = other["table"], one["table"]


def rows_of_another_table(document: Document) -> None:
    rows = table_of(document, "token")
    rows.update({**table_of(document, "device"), "table": "token"})


def contents_as_rows(document: Document) -> None:
    rows = table_of(document, "device")
    rows.update({**document["contents"][-1], "table": "device"})


def rows_as_contents(document: Document) -> None:
    cells = next(item for item in document["contents"] if item["table"] == "contents.variable")
    cells.update({**table_of(document, "device"), "table": "contents.variable"})


def no_contents_but_cells(document: Document) -> None:
    document["contents"] = [i for i in document["contents"] if i["table"] == "contents.variable"]


def a_column_that_never_was(document: Document) -> None:
    document["schema_version"] = 0
    document["columns"]["device"] = ["id", "never_was"]


def a_table_that_never_was(document: Document) -> None:
    document["schema_version"] = 0
    document["columns"]["never_was"] = document["columns"].pop("device")
    table_of(document, "device")["table"] = "never_was"


def a_later_schema(document: Document) -> None:
    document["schema_version"] = 99
    a_table_that_never_was({**document, "schema_version": 99})


def another_digest(document: Document) -> None:
    table_of(document, "variable")["digest"] = "0" * 32


def more_rows(document: Document) -> None:
    rows = table_of(document, "variable")
    rows["rows"] += 1
    chunk = next(iter(rows["chunk_rows"]))
    rows["chunk_rows"][chunk] += 1


def variables_twice(document: Document) -> None:
    document["segments"].append(table_of(document, "variable"))


def far_days(document: Document) -> None:
    rows = table_of(document, "variable")
    rows["chunk_rows"] = {"-719162": rows["rows"]}


def huge_sizes(document: Document) -> None:
    table_of(document, "device")["bytes"] = 2**63 - 1 - 10**9


SENSIBLE = [
    *(swap_tables, swap_contents, rows_of_another_table, contents_as_rows, rows_as_contents),
    *(no_contents_but_cells, a_column_that_never_was, a_table_that_never_was, a_later_schema),
    *(another_digest, more_rows, variables_twice, far_days, huge_sizes),
]


def test_what_contradicts_the_objects_is_damaged_to_readers_and_proofs(
    snapshot: Snapshot, stored: Storage, subtests: pytest.Subtests
) -> None:
    """The manifests themselves are valid."""
    good = stored.get(snapshot.manifest)
    for change in SENSIBLE:
        with subtests.test(change.__name__):
            document = json.loads(good)
            change(document)
            read_all(snapshot, stored, json.dumps(document).encode())
            proof = queue_proof(snapshot.pk)
            assert proof
            run_proof(proof.pk)
            proof = Proof.objects.get(pk=proof.pk)
            assert proof.state == "passed" or proof.cause in CAUSES, (proof.cause, proof.reason)
            proof.delete()
            Snapshot.objects.filter(pk=snapshot.pk).update(verdict="unproven", verdict_reason="")
    next_one(snapshot, stored)


def test_pages_of_a_damaged_backup_open_and_say_so(
    snapshot: Snapshot, stored: Storage, client: Client
) -> None:
    good = stored.get(snapshot.manifest)
    client.force_login(snapshot.project.created_by)
    here = f"/projects/{snapshot.project.slug}/backups/"
    for content in (
        b"",
        b'{"format": 4}',
        b"[" * 100_000,
        good.replace(b'"rows":10', b'"rows":-1'),
    ):
        stored.put(snapshot.manifest, content)
        for path in (
            *(here, f"{here}{snapshot.pk}/", f"{here}{snapshot.pk}/left-out/"),
            f"{here}{snapshot.pk}/devices/",
            *(f"{here}{snapshot.pk}/restore/", f"{here}{snapshot.pk}/compare/?with=now"),
            *(f"{here}{snapshot.pk}/download/", f"{here}find/?device=Truck"),
        ):
            assert client.get(path).status_code == 200, path
