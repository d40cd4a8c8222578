"""Move what was planned batch by batch, from where an attempt stopped."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.failure_causes import Cause
from backups_portal.transfers.commit_guard import Guard, guarded
from backups_portal.transfers.errors import DEVICE_GONE, TransferError
from backups_portal.transfers.move.batches import Outcome, Work, digest_source, move_batch
from backups_portal.transfers.move.lane_digests import Cells, Slice
from backups_portal.transfers.move.ledger import (
    begin_batch,
    end_batch,
    open_ledger,
    read_entries,
    summarize_blocks,
)
from backups_portal.transfers.move.resource_copy import CREATED, Placement, Placing, place
from backups_portal.transfers.move.series_map import Lane, Routes, read_lanes, read_routes
from backups_portal.transfers.plan.dry_run import Plan, add_outcome, take_room
from backups_portal.transfers.plan.selection import Choice

# Told after every batch what has become of all rows so far; may raise to stop there.
OnBatch = Callable[[Outcome], None]


@dataclass(frozen=True)
class MoveJob:
    """What is to be moved.

    Attributes:
        transfer: The id by which the ledger knows it.
        keys: Of the target's new tokens.
        limit: How many records a mutable device may hold; 0 means any number.
        now: In UTC; immutable devices refuse what was too old then.
    """

    transfer: str
    plan: Plan
    choice: Choice
    keys: Keyring
    limit: int
    now: datetime


def move(
    source: Connection,
    target: Connection,
    job: MoveJob,
    *,
    on_batch: OnBatch,
    guard: Guard = nullcontext,
) -> Routes:
    """Move everything that was planned and is not in the target yet.

    Each batch is one transaction in the target together with its row in the ledger: killed at any
    point, it leaves whole batches, and called again it does the others.

    Args:
        guard: Entered for each commit.

    Returns:
        The routes, for the comparison.

    Raises:
        TransferError: the transfer was undone, or a device is gone.
        psycopg.Error: a database does not answer, or is full.
    """
    plan, transfer = job.plan, job.transfer
    prefix = _prefix_of(target)
    open_ledger(target, transfer, _prefix_of(source))
    placing = Placing(source, target, transfer, prefix, job.keys, plan.renamed(), guard)
    place(placing, _devices(plan))
    place(placing, plan.placements)
    lanes = read_lanes(source, target, plan.pairs, limit=job.limit, now=job.now)
    routes = read_routes(source, target, lanes, job.choice, make=True)
    total, done = Outcome(), set()
    for entry in read_entries(target, transfer):
        add_outcome(total, entry.outcome)
        done.add(entry.number)
    todo = [part for part in plan.slices if part.number not in done]
    with ThreadPoolExecutor(1) as threads, _same_view(source) as ahead:
        work = Work(source, ahead, target, routes, list(lanes), job.choice.rule, plan.known)
        for part, chosen in _digested_ahead(work, todo, threads):
            on_batch(total)
            with guarded(target, guard):
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
def _same_view(source: Connection) -> Iterator[Connection]:
    """Open another connection that sees what this one sees."""
    row = source.execute("SELECT pg_export_snapshot()").fetchone()
    snapshot = sql.Literal(str(row[0]) if row else "")
    with pgsession.connect(source.info.dsn, password=source.info.password) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        yield connection


def _digested_ahead(
    work: Work, parts: Sequence[Slice], threads: Executor
) -> Iterator[tuple[Slice, Cells]]:
    """Yield each slice with its digests, taken while the last one is moved."""
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


def _hold_devices(target: Connection, lanes: list[Lane]) -> None:
    """Keep devices from being deleted meanwhile: no foreign key would."""
    wanted = [lane.target for lane in lanes]
    held = target.execute("SELECT FROM device WHERE id = ANY(%s) FOR KEY SHARE", [wanted]).rowcount
    if held < len(wanted):
        raise TransferError(DEVICE_GONE, cause=Cause.REMOVED)


def _prefix_of(connection: Connection) -> str:
    row = connection.execute("SELECT prefix FROM instance").fetchone()
    if row is None:
        raise TransferError(
            "A project's database was not provisioned.", cause=Cause.DATABASE_REFUSED
        )
    return str(row[0])
