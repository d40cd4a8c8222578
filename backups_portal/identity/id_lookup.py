"""The lookup of new ids and tokens for old ones, after a restore or a transfer.

No row-by-row map is stored. After a restore, a variable's new number follows from its segment and
its place there; after a transfer, from the ledger's batch, as both sides hash their rows the same
way. For old tokens, only keyed hashes and the last four characters are known.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from django.utils import timezone
from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.ids import variable_id, variable_number
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move.database_pair import open_source, open_target
from backups_portal.transfers.move.lane_digests import ROW_HASH, Slice
from backups_portal.transfers.move.ledger import read_entries
from backups_portal.transfers.move.series_map import Routes, Side, read_lanes, read_routes
from backups_portal.transfers.plan.dry_run import Plan
from restores.models import Restore
from restores.snapshot_loader import number_segments
from snapshots.engine.segments import read_segment
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.storages.configured_storages import reading_storage

HASHES = f"""
    SELECT {ROW_HASH} # s.seed AS hash, s.lane, v.id
    FROM unnest(%(series)s::integer[], %(lanes)s::integer[], %(seeds)s::bigint[])
         AS s (id, lane, seed)
    JOIN variable v ON v.series_id = s.id
    WHERE v.time >= %(since)s AND v.time < %(until)s {{only}}
    ORDER BY 1, 2, 3"""  # noqa: S608 - a constant of lane_digests.py
OF_BATCH = """AND v.id BETWEEN %(first)s AND %(last)s
    AND v.xmin = ANY(%(xids)s::text[]::xid[])"""

Pairs = Iterator[tuple[str, str]]
# The hash of a row, its lane and its number.
Hashed = tuple[int, int, int]


@dataclass(frozen=True)
class NewToken:
    """A token that replaced another.

    Attributes:
        resource: The id of its device or analysis; "" for a profile token.
    """

    kind: str
    resource: str
    name: str
    old_last_four: str
    new_last_four: str


def list_tokens(connection: Connection, *, old: str | None = None) -> list[NewToken]:
    """List the tokens that replaced others, or only the one that replaced `old`.

    Args:
        old: The old token's value; only its keyed hash is compared.
    """
    hashed = keyring().digest(old) if old else None
    rows = connection.execute(
        """SELECT kind, coalesce(device_id::text, analysis_id::text, ''), name, old_last_four,
                  last_four
           FROM token_origin JOIN token ON token.id = token_id
           WHERE %(hash)s::bytea IS NULL OR old_hash = %(hash)s::bytea
           ORDER BY kind, 2, token.id""",
        {"hash": hashed},
    )
    return [NewToken(*row) for row in rows]


def find_new(project: Project, old: str) -> tuple[list[NewToken], str | None]:
    """Find the replacement of an old token, or else of an old variable id.

    Raises:
        psycopg.Error: a database cannot be read.
    """
    with pgsession.connect(project_dsn(project), settings=pgsession.PAGE) as connection:
        if tokens := list_tokens(connection, old=old):
            return tokens, None
    return [], find_variable(project, old)


def variables_of_restore(restore: Restore) -> Pairs:
    """Pair old and new ids of all variables of a restore, by segment."""
    if restore.project is None:
        return
    old, new = restore.snapshot.project.prefix, restore.project.prefix
    for first, numbers in _segments(restore):
        for place, number in enumerate(numbers.tolist()):
            yield variable_id(old, number), variable_id(new, first + place)


def variable_of_restore(restore: Restore, old_id: str) -> str | None:
    """Find the new id of a variable; None if it was not in the backup."""
    number = variable_number(restore.snapshot.project.prefix, old_id)
    if number is None or restore.project is None:
        return None
    for first, numbers in _segments(restore):
        if len(places := np.flatnonzero(numbers == number)):
            return variable_id(restore.project.prefix, first + int(places[0]))
    return None


def _segments(restore: Restore) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    storage = reading_storage()
    manifest = load_manifest(storage, restore.snapshot)
    for job in number_segments(manifest.of("variable")):
        if job.segment.rows:
            rows = read_segment(storage, job.segment)
            yield job.first_number, rows["id"].to_numpy()


def variables_of_transfer(transfer: Transfer, *, old_id: str | None = None) -> Pairs:
    """Pair old and new ids of a transfer's variables, or of one variable.

    Both projects and the ledger must still exist; variables changed since have no pair.
    """
    source, target = transfer.source, transfer.target
    if source is None or target is None or not transfer.has_ledger:
        return
    wanted = None if old_id is None else variable_number(source.prefix, old_id)
    if old_id is not None and wanted is None:
        return
    with open_source(source) as left, open_target(target) as right:
        moment = None if wanted is None else _time_of(left, wanted)
        for ours, theirs in _batches(left, right, transfer, moment):
            for old, new in _merge(ours, theirs):
                if wanted in (None, old):
                    yield variable_id(source.prefix, old), variable_id(target.prefix, new)


def _batches(
    left: Connection, right: Connection, transfer: Transfer, moment: datetime | None
) -> Iterator[tuple[list[Hashed], list[Hashed]]]:
    plan = Plan.from_json(transfer.plan)
    lanes = read_lanes(left, right, plan.pairs, limit=0, now=timezone.now())
    routes = read_routes(left, right, lanes, transfer.chosen(), make=False)
    entries = {entry.number: entry for entry in read_entries(right, str(transfer.pk))}
    with ThreadPoolExecutor(1) as threads:
        for part in plan.slices:
            entry = entries.get(part.number)
            if entry is None or not _holds(part, moment):
                continue
            coming = threads.submit(_hashes, left, routes, part)
            batch = {
                "first": entry.first_id,
                "last": entry.last_id,
                "xids": list(map(str, entry.xids)),
            }
            theirs = _read(right, routes.target, part, OF_BATCH, batch)
            yield coming.result(), theirs


def _hashes(left: Connection, routes: Routes, part: Slice) -> list[Hashed]:
    return _read(left, routes.source, part, "", {})


def _read(
    connection: Connection, side: Side, part: Slice, only: str, values: JsonObject
) -> list[Hashed]:
    query = HASHES.format(only=only)
    return connection.execute(
        query.encode(), {**side.arrays(), **part.bounds(), **values}
    ).fetchall()


def _holds(part: Slice, moment: datetime | None) -> bool:
    return moment is None or (
        (part.since is None or part.since <= moment) and (part.until is None or moment < part.until)
    )


def _time_of(left: Connection, number: int) -> datetime:
    row = left.execute("SELECT time FROM variable WHERE id = %s", [number]).fetchone()
    if row is None:
        # A time that no batch contains.
        return datetime.max.replace(tzinfo=timezone.get_default_timezone())
    moment: datetime = row[0]
    return moment


def _merge(ours: list[Hashed], theirs: list[Hashed]) -> Iterator[tuple[int, int]]:
    """Pair rows of the same hash and lane, and equal rows in the order of ids."""
    place = 0
    for hashed, lane, number in ours:
        while place < len(theirs) and theirs[place][:2] < (hashed, lane):
            place += 1
        if place < len(theirs) and theirs[place][:2] == (hashed, lane):
            yield number, theirs[place][2]
            place += 1


def transfers_into(project: Project) -> list[Transfer]:
    """List the transfers into a project whose ledger still exists."""
    return list(
        Transfer.objects.select_related("source", "target").filter(target=project, has_ledger=True)
    )


def find_variable(project: Project, old_id: str) -> str | None:
    """Find this project's id of a variable from another project."""
    restore = Restore.objects.select_related("snapshot__project", "project").filter(project=project)
    for made in restore:
        if found := variable_of_restore(made, old_id):
            return found
    for transfer in transfers_into(project):
        for _, found in variables_of_transfer(transfer, old_id=old_id):
            return found
    return None
