"""The lookup of new ids and tokens for old ones, after a restore or a transfer.

No row-by-row map is stored. After a restore, a variable's new number follows from its segment and
its place there; after a transfer, from the ledger's batch, as both sides hash their rows the same
way. For old tokens, only keyed hashes and the last four characters are known.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np
from django.utils import timezone
from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.projectdb.ids import variable_id, variable_number
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.replaced_ids.token_list import ListedToken, tokens_replacing
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move.database_pair import open_source, open_target
from backups_portal.transfers.move.lane_digests import ROW_HASH, Slice
from backups_portal.transfers.move.ledger import read_entries
from backups_portal.transfers.move.series_map import Side, read_lanes, read_routes
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


def find_new(project: Project, old: str) -> tuple[list[ListedToken], str | None]:
    """Find the replacement of an old token, or else of an old variable id.

    Raises:
        psycopg.Error: a database cannot be read.
    """
    with pgsession.connect(project_dsn(project), settings=pgsession.PAGE) as connection:
        if tokens := tokens_replacing(connection, old, keys=keyring()):
            return tokens, None
    return [], next((new for _, new in variables_of(project, old_id=old)), None)


def variables_of(project: Project, *, old_id: str | None = None) -> Pairs:
    """Pair old and new ids of all variables from other projects, or of one."""
    restores = Restore.objects.select_related("snapshot__project", "project")
    for restore in restores.filter(project=project):
        yield from variables_of_restore(restore, old_id=old_id)
    for transfer in transfers_into(project):
        yield from variables_of_transfer(transfer, old_id=old_id)


def variables_of_restore(restore: Restore, *, old_id: str | None = None) -> Pairs:
    """Pair old and new ids of a restore's variables, or of one, by segment."""
    if restore.project is None:
        return
    old, new = restore.snapshot.project.prefix, restore.project.prefix
    wanted = None if old_id is None else variable_number(old, old_id)
    if old_id is not None and wanted is None:
        return
    storage = reading_storage()
    for job in number_segments(load_manifest(storage, restore.snapshot).of("variable")):
        if not job.segment.rows:
            continue
        numbers = read_segment(storage, job.segment)["id"].to_numpy()
        places = np.arange(len(numbers)) if wanted is None else np.flatnonzero(numbers == wanted)
        for place, number in zip(places.tolist(), numbers[places].tolist(), strict=True):
            yield variable_id(old, number), variable_id(new, job.first_number + place)


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
            coming = threads.submit(_read, left, routes.source, part)
            batch = {"first": entry.first_id, "last": entry.last_id}
            xids = list(map(str, entry.xids))
            theirs = _read(right, routes.target, part, OF_BATCH, **batch, xids=xids)
            yield coming.result(), theirs


def _read(
    connection: Connection, side: Side, part: Slice, only: str = "", **values: object
) -> list[Hashed]:
    query = HASHES.format(only=only).encode()
    return connection.execute(query, {**side.arrays(), **part.bounds(), **values}).fetchall()


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
