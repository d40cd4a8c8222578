"""Undo what a transfer did, except for what was changed since."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from backups_portal.projectdb.catalogue import variable_columns
from backups_portal.projectdb.import_turns import exclude_imports_in_session
from backups_portal.transfers.commit_guard import guarded
from backups_portal.transfers.move.batches import STORED
from backups_portal.transfers.move.block_summaries import (
    search_by_number,
    summarize_blocks,
    unless_held_up,
)
from backups_portal.transfers.move.ledger import Entry, read_entries
from backups_portal.transfers.move.resource_rows import (
    BY_KIND,
    Kind,
    delete_rows,
    digest,
    read_replaced,
    read_rows,
    replace_rows,
)
from backups_portal.transfers.move.settings_undo import undo_settings
from backups_portal.transfers.move.slice_copy import COLUMNS, RENEWED
from backups_portal.transfers.move.undo_progress import Step, StepGuard, Undone

REPLACED = variable_columns(without=RENEWED, of="old")
# Vacuum the table if an undo removed more records than this.
MANY = 10_000
# If somebody has changed a row of the batch since, its xmin differs.
TAKE_BACK = """DELETE FROM variable
    WHERE id BETWEEN %(first)s AND %(last)s AND xmin = ANY(%(xids)s::text[]::xid[])"""
KEEP_TAKEN = f"""CREATE TEMPORARY TABLE taken ON COMMIT DROP AS
    WITH gone AS ({TAKE_BACK} RETURNING series_id, time, group_key)
    SELECT device_id, variable, time, group_key
    FROM gone JOIN series ON series.id = series_id"""  # noqa: S608 - a constant of this file
# Replaced records are restored if their replacements were just deleted. Each has the batch of
# another transfer that had stored it, if any.
KEEP_COMING = f"""CREATE TEMPORARY TABLE coming ON COMMIT DROP AS
    SELECT old.series_id, old.id, {REPLACED}, mine.transfer_id AS owner, mine.number AS batch
    FROM transfer_replaced AS old JOIN series ON series.id = old.series_id
    LEFT JOIN transfer_batch AS mine ON old.id BETWEEN mine.first_id AND mine.last_id
        AND (old.xid = mine.xid OR EXISTS (
            SELECT FROM transfer_returned AS back WHERE back.xid = old.xid
                AND (back.transfer_id, back.number) = (mine.transfer_id, mine.number)
        ))
    WHERE old.transfer_id = %(transfer)s AND old.batch = %(number)s AND EXISTS (
        SELECT FROM taken
        WHERE (taken.device_id, taken.variable, taken.time, taken.group_key)
              = (series.device_id, series.variable, old.time, old.group_key)
    )"""  # noqa: S608 - a constant of batches.py
BRING_BACK = f"""
    INSERT INTO variable (series_id, id, {COLUMNS}) OVERRIDING SYSTEM VALUE
    SELECT series_id, id, {COLUMNS} FROM coming
    WHERE (owner, batch) IS NOT DISTINCT FROM (%(owner)s::uuid, %(batch)s::integer)
    RETURNING xmin::text"""  # noqa: S608 - a constant of batches.py
# If a later transfer replaced a record of this batch, its undo would restore that record. Instead
# it will restore what this batch had replaced, so that is handed over.
HAS_LATER = "SELECT EXISTS (SELECT FROM transfer_replaced WHERE transfer_id <> %s)"
TAKE_FROM_LATER = """CREATE TEMPORARY TABLE later ON COMMIT DROP AS
    WITH gone AS (
        DELETE FROM transfer_replaced WHERE transfer_id <> %(transfer)s
            AND id BETWEEN %(first)s AND %(last)s AND xid = ANY(%(xids)s::text[]::xid[])
        RETURNING transfer_id, batch, series_id, time, group_key
    )
    SELECT transfer_id, batch, device_id, variable, time, group_key
    FROM gone JOIN series ON series.id = series_id"""
HAND_OVER = """UPDATE transfer_replaced AS old
    SET transfer_id = later.transfer_id, batch = later.batch
    FROM later, series WHERE old.transfer_id = %(transfer)s AND old.batch = %(number)s
        AND series.id = old.series_id
        AND (later.device_id, later.variable, later.time, later.group_key)
            = (series.device_id, series.variable, old.time, old.group_key)"""
RETURN = "INSERT INTO transfer_returned (transfer_id, number, xid) VALUES (%s, %s, %s::text::xid)"

FORGET = (
    "DELETE FROM transfer_replaced WHERE transfer_id = %s AND batch = %s",
    "DELETE FROM transfer_returned WHERE transfer_id = %s AND number = %s",
    "DELETE FROM transfer_batch WHERE transfer_id = %s AND number = %s",
)


def count_stored(target: Connection, transfer: str) -> int:
    """Count the records that a transfer has stored and not undone."""
    outcomes = [entry.outcome for entry in read_entries(target, transfer)]
    return sum(outcome.rows(fate) for outcome in outcomes for fate in STORED)


def is_taken_back(target: Connection, transfer: str, step: Step) -> bool:
    """Tell whether a step was committed, which deletes its row of the ledger."""
    table, key = ("batch", "number::text") if len(step) == 1 else ("resource", "kind, id::text")
    statement = sql.SQL("SELECT FROM {} WHERE transfer_id = %s AND ({}) = ({})").format(
        sql.Identifier(f"transfer_{table}"),
        sql.SQL(key),
        sql.SQL(", ").join(sql.Placeholder() * len(step)),
    )
    return target.execute(statement, [transfer, *step]).fetchone() is None


def undo(
    target: Connection,
    transfer: str,
    done: Undone,
    on_batch: Callable[[], None],
    guard: StepGuard = nullcontext,
) -> None:
    """Undo everything, batch by batch, the last one first.

    Args:
        done: Updated before each commit.
        on_batch: Called after each batch; may raise to stop there.
        guard: Entered for each commit, with its step.

    Each batch and its row in the ledger are deleted in one transaction: if it is killed at any
    point, the next call continues from there. The head of the ledger is closed first, so that a
    late worker adds nothing. Imports into the target wait until the session ends.
    """
    exclude_imports_in_session(target)
    summarize_blocks(target)
    target.execute("UPDATE transfer_run SET is_open = false WHERE transfer_id = %s", [transfer])
    row = target.execute(HAS_LATER, [transfer]).fetchone()
    has_later = bool(row and row[0])
    for entry in reversed(read_entries(target, transfer)):
        with guarded(target, partial(guard, (str(entry.number),))):
            search_by_number(target)
            removed = _take_back(target, transfer, entry, done, has_later=has_later)
            for forgotten in FORGET:
                target.execute(forgotten, [transfer, entry.number])
            done.removed += removed
            done.left += entry.outcome.rows("add") + entry.outcome.rows("replace") - removed
        on_batch()
    if done.removed > MANY:
        # Otherwise all later searches would have to skip the dead rows.
        with unless_held_up():
            target.execute("VACUUM variable")
    undo_settings(target, transfer, done, on_batch, guard)
    _undo_resources(target, transfer, done, guard)


def _take_back(
    target: Connection, transfer: str, entry: Entry, done: Undone, *, has_later: bool
) -> int:
    """Undo a batch; return how many of its records were removed."""
    values = {
        "transfer": transfer,
        "number": entry.number,
        "first": entry.first_id,
        "last": entry.last_id,
        "xids": list(map(str, entry.xids)),
    }
    removed = 0
    if has_later:
        removed = target.execute(TAKE_FROM_LATER, values).rowcount
        target.execute(HAND_OVER, values)
    if not entry.outcome.rows("replace"):
        return removed + target.execute(TAKE_BACK, values).rowcount
    removed += target.execute(KEEP_TAKEN, values).rowcount
    target.execute(KEEP_COMING, values)
    for owner, batch in target.execute("SELECT DISTINCT owner, batch FROM coming").fetchall():
        done.restored += _bring_back(target, owner, batch)
    return removed


def _bring_back(target: Connection, owner: UUID | None, batch: int | None) -> int:
    """Restore records that a batch of another transfer had stored, or none.

    This is a subtransaction with its own xid, by which that batch will recognize its records.
    """
    with target.transaction():
        rows = target.execute(BRING_BACK, {"owner": owner, "batch": batch}).fetchall()
        if owner is not None:
            target.execute(RETURN, [owner, batch, rows[0][0]])
    return len(rows)


def _undo_resources(target: Connection, transfer: str, done: Undone, guard: StepGuard) -> None:
    rows = target.execute(
        """SELECT kind, id, written FROM transfer_resource WHERE transfer_id = %s
           ORDER BY kind = 'device', kind, id""",
        [transfer],
    ).fetchall()
    for kind, resource, written in rows:
        with guarded(target, partial(guard, (kind, resource))):
            reason = _why_kept(target, kind, resource, written)
            reason = reason or _undo_resource(target, transfer, BY_KIND[kind], resource)
            if reason:
                done.kept.append({"kind": kind, "id": resource, "reason": reason})
            done.resources += not reason
            target.execute(
                "DELETE FROM transfer_resource WHERE (transfer_id, kind, id) = (%s, %s, %s)",
                [transfer, kind, resource],
            )


def _undo_resource(target: Connection, transfer: str, kind: Kind, resource: str) -> str:
    """Undo a resource; return the reason if it cannot be undone, else ""."""
    try:
        with target.transaction():
            if replaced := read_replaced(target, transfer, kind, resource):
                replace_rows(target, kind, resource, replaced)
            else:
                delete_rows(target, kind, resource)
    except psycopg.errors.UniqueViolation:
        return "another one has its key by now"
    return ""


def _why_kept(target: Connection, kind: str, resource: str, written: str) -> str:
    lock = sql.SQL("SELECT FROM {} WHERE id = %s FOR UPDATE")
    table = sql.Identifier(BY_KIND[kind].name)
    if target.execute(lock.format(table), [resource]).fetchone() is None:
        return "it was deleted since"
    if digest(read_rows(target, BY_KIND[kind], resource)) != written:
        return "it was edited since"
    if kind == "device" and _has_records(target, resource):
        return "it has received records since"
    return ""


def _has_records(target: Connection, device: str) -> bool:
    row = target.execute(
        """SELECT FROM series JOIN variable ON series_id = series.id
           WHERE device_id = %s LIMIT 1""",
        [device],
    ).fetchone()
    return row is not None
