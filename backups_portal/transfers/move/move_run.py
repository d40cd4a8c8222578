"""Move what was planned, batch by batch, from where an attempt stopped."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import Connection

from backups_portal.lib.crypto import Keyring
from backups_portal.lib.failure_causes import Cause
from backups_portal.projectdb.import_turns import exclude_imports
from backups_portal.transfers.commit_guard import Guard, guarded
from backups_portal.transfers.errors import DEVICE_GONE, TransferError
from backups_portal.transfers.move.batches import Outcome, Work, move_batch
from backups_portal.transfers.move.block_summaries import BlockSummaries
from backups_portal.transfers.move.lane_digests import Slice, count_rows
from backups_portal.transfers.move.ledger import (
    begin_batch,
    end_batch,
    open_ledger,
    read_entries,
    write_out,
)
from backups_portal.transfers.move.parallel_batches import run_batches
from backups_portal.transfers.move.resource_copy import CREATED, Placement, Placing, place
from backups_portal.transfers.move.series_map import Lane, Routes, Side, read_lanes, read_routes
from backups_portal.transfers.move.settings_copy import bring_back_settings
from backups_portal.transfers.move.tracks import TRACKS, Track, open_tracks, twin
from backups_portal.transfers.plan.dry_run import Plan, add_outcome, take_room
from backups_portal.transfers.plan.selection import Choice

# Called after every batch with the outcome of all rows so far; may raise to stop there.
OnBatch = Callable[[Outcome], None]


@dataclass(frozen=True)
class MoveJob:
    """What to move.

    Attributes:
        transfer: The id of the transfer in the ledger.
        keys: For the target's new tokens.
        limit: The most records that a mutable device may hold; 0 means no limit.
        now: In UTC; immutable devices refuse records that are too old at this time.
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
    """Move everything that was planned and is not yet in the target.

    Each batch and its row in the ledger are one transaction in the target: if it is killed at any
    point, it leaves whole batches, and the next call moves the others.

    Args:
        guard: Entered for each commit.

    Returns:
        The routes, for the comparison.

    Raises:
        TransferError: the transfer was undone, or a device was deleted.
        psycopg.Error: a database does not respond or is full.
    """
    plan, transfer = job.plan, job.transfer
    prefix = _prefix_of(target)
    open_ledger(target, transfer, _prefix_of(source))
    placing = Placing(source, target, transfer, prefix, job.keys, plan.renamed(), guard)
    place(placing, _devices(plan))
    place(placing, plan.placements)
    lanes = read_lanes(source, target, plan.pairs, limit=job.limit, now=job.now)
    routes = read_routes(source, target, lanes, job.choice, make=True)
    lanes = _with_needed_limits(source, routes.source, lanes, job.choice)
    _settle(source, target, job, lanes, routes, guard)
    total, done = Outcome(), set()
    for entry in read_entries(target, transfer):
        add_outcome(total, entry.outcome)
        done.add(entry.number)
    todo = [part for part in plan.slices if part.number not in done]
    if todo:
        work = Work(routes, lanes, job.choice.rule, plan.known)
        _move_slices(source, target, todo, _Run(work, transfer, total, on_batch), guard)
    # A dry run of an older version has not shown them.
    if plan.settings is not None:
        pairs = [(match.source, match.target) for match in plan.there if match.target]
        bring_back_settings(placing, pairs, lambda: on_batch(total))
    on_batch(total)
    write_out(target, transfer)
    return routes


def _settle(
    source: Connection,
    target: Connection,
    job: MoveJob,
    lanes: list[Lane],
    routes: Routes,
    guard: Guard,
) -> None:
    """Enter settled slices in the ledger, if neither database has changed."""
    settled = job.plan.settled
    if not settled.numbers:
        return
    with guarded(target, guard):
        # Checked inside the transaction, so that no earlier change is missed. Another run of this
        # transfer has entered either all of the slices or none.
        if settled.holds(source, target) and begin_batch(target, job.transfer, settled.numbers[0]):
            _hold_devices(target, lanes, routes)
            end_batch(target, job.transfer, settled.numbers[0], settled.outcome)
            for number in settled.numbers[1:]:
                if begin_batch(target, job.transfer, number):
                    end_batch(target, job.transfer, number, Outcome())


@dataclass(frozen=True)
class _Run:
    """What batches have in common; `total` is the outcome of finished ones."""

    work: Work
    transfer: str
    total: Outcome
    on_batch: OnBatch


@dataclass(frozen=True)
class _Batch:
    """A slice to move, and to add to the total."""

    part: Slice
    run: _Run

    def move(self, track: Track) -> Outcome | None:
        exclude_imports(track.target)
        if not begin_batch(track.target, self.run.transfer, self.part.number):
            return None
        _hold_devices(track.target, self.run.work.lanes, self.run.work.routes)
        return move_batch(self.run.work, track, self.part, transfer=self.run.transfer)

    def end(self, track: Track, outcome: Outcome) -> None:
        end_batch(track.target, self.run.transfer, self.part.number, outcome)
        take_room(self.run.work, outcome)
        add_outcome(self.run.total, outcome)


def _move_slices(
    source: Connection, target: Connection, todo: list[Slice], run: _Run, guard: Guard
) -> None:
    # How much room a device has left is known only after the previous batch.
    limited = any(lane.room is not None for lane in run.work.lanes)
    with (
        open_tracks(source, target, 1 if limited else min(TRACKS, len(todo))) as tracks,
        twin(target) as beside,
        BlockSummaries(beside) as summaries,
    ):

        def batches() -> Iterator[_Batch]:
            for part in todo:
                summaries.note_batch()
                run.on_batch(run.total)
                yield _Batch(part, run)

        run_batches(tracks, batches(), guard)


def _with_needed_limits(
    source: Connection, side: Side, lanes: list[Lane], choice: Choice
) -> list[Lane]:
    """Drop the limits that the chosen rows cannot exceed.

    Without limits, batches do not depend on each other.
    """
    limited = {lane.number: lane.room for lane in lanes if lane.room is not None}
    rows = count_rows(source, side.of(set(limited)), Slice(0, choice.since, choice.until))
    fitting = {number for number, room in limited.items() if rows.get(number, 0) <= room}
    return [replace(lane, room=None) if lane.number in fitting else lane for lane in lanes]


def _devices(plan: Plan) -> list[Placement]:
    return [
        Placement("device", match.source, match.target, match.name, CREATED)
        for match in plan.moved
        if match.how == "created" and match.target
    ]


def _hold_devices(target: Connection, lanes: list[Lane], routes: Routes) -> None:
    """Lock devices against deletion, because no foreign key does.

    If a device was deleted and another transfer recreated it under its id, it has other series.
    """
    wanted = [lane.target for lane in lanes]
    held = target.execute("SELECT FROM device WHERE id = ANY(%s) FOR KEY SHARE", [wanted]).rowcount
    series = list({place.target for place in routes.source.places})
    there = target.execute("SELECT count(*) FROM series WHERE id = ANY(%s)", [series]).fetchone()
    if held < len(wanted) or there != (len(series),):
        raise TransferError(DEVICE_GONE, cause=Cause.REMOVED)


def _prefix_of(connection: Connection) -> str:
    row = connection.execute("SELECT prefix FROM instance").fetchone()
    if row is None:
        raise TransferError(
            "A project's database was not provisioned.", cause=Cause.DATABASE_REFUSED
        )
    return str(row[0])
