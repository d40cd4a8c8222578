"""The run: what was planned, batch by batch, from wherever an earlier attempt has stopped."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection, sql

from backups_portal.lib.crypto import Keyring
from backups_portal.transfers.batches import Outcome, Work, digest_source, move_batch
from backups_portal.transfers.cells import Cells, Slice
from backups_portal.transfers.choosing import Choice
from backups_portal.transfers.errors import TransferError
from backups_portal.transfers.ledger import (
    begin_batch,
    end_batch,
    open_ledger,
    read_entries,
    summarize_blocks,
)
from backups_portal.transfers.placing import CREATED, Placement, Placing, place
from backups_portal.transfers.planning import Plan, add_outcome, take_room
from backups_portal.transfers.routes import Lane, Routes, read_lanes, read_routes

# Told after every batch what has become of all rows so far; may raise to stop there.
OnBatch = Callable[[Outcome], None]


def move(
    source: Connection[Any],
    target: Connection[Any],
    plan: Plan,
    choice: Choice,
    *,
    transfer: str,
    keys: Keyring,
    limit: int,
    now: Any,
    on_batch: OnBatch,
) -> Routes:
    """Move everything that was planned and is not in the target yet.

    Each batch is one transaction in the target together with its row in the ledger: killed at any
    point, it leaves whole batches, and called again it does the others.

    Returns:
        The routes, for the comparison.

    Raises:
        TransferError: the transfer was undone, or a device is gone.
        psycopg.Error: a database does not answer, or is full.
    """
    prefix = _prefix_of(target)
    open_ledger(target, transfer, _prefix_of(source))
    placing = Placing(source, target, transfer, prefix, keys, plan.renamed())
    place(placing, _devices(plan))
    place(placing, plan.placements)
    lanes = read_lanes(source, target, plan.pairs, limit=limit, now=now)
    routes = read_routes(source, target, lanes, choice, make=True)
    total, done = Outcome(), set()
    for entry in read_entries(target, transfer):
        add_outcome(total, entry.outcome)
        done.add(entry.number)
    todo = [part for part in plan.slices if part.number not in done]
    with ThreadPoolExecutor(1) as threads, _same_view(source) as ahead:
        work = Work(source, ahead, target, routes, list(lanes), choice.rule, plan.known)
        for part, chosen in _digested_ahead(work, todo, threads):
            on_batch(total)
            with target.transaction():
                if begin_batch(target, transfer, part.number):
                    _hold_devices(target, lanes)
                    outcome = move_batch(work, part, chosen, transfer=transfer)
                    end_batch(target, transfer, part.number, outcome)
                    take_room(work, outcome)
                    add_outcome(total, outcome)
    on_batch(total)
    summarize_blocks(target)
    return routes


@contextmanager
def _same_view(source: Connection[Any]) -> Iterator[Connection[Any]]:
    """Another connection that sees what this one sees."""
    row = source.execute("SELECT pg_export_snapshot()").fetchone()
    snapshot = sql.Literal(str(row[0]) if row else "")
    with psycopg.connect(source.info.dsn, password=source.info.password) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        yield connection


def _digested_ahead(
    work: Work, parts: Sequence[Slice], threads: Executor
) -> Iterator[tuple[Slice, Cells]]:
    """Each slice with its digests, which are taken while the slice before it is moved."""
    ahead = (threads.submit(digest_source, work, part) for part in parts)
    coming = next(ahead, None)
    for part in parts:
        chosen = coming.result() if coming else {}
        coming = next(ahead, None)
        yield part, chosen


def _devices(plan: Plan) -> list[Placement]:
    return [
        Placement("device", match.source, match.target, match.name, CREATED)
        for match in plan.moved
        if match.how == "created" and match.target
    ]


def _hold_devices(target: Connection[Any], lanes: list[Lane]) -> None:
    """Keep the devices from being deleted until the batch is stored: no foreign key would."""
    wanted = [lane.target for lane in lanes]
    held = target.execute("SELECT FROM device WHERE id = ANY(%s) FOR KEY SHARE", [wanted]).rowcount
    if held < len(wanted):
        raise TransferError("A device of the target was deleted in the meantime.")


def _prefix_of(connection: Connection[Any]) -> str:
    row = connection.execute("SELECT prefix FROM instance").fetchone()
    if row is None:
        raise TransferError("A project's database was not provisioned.")
    return str(row[0])
