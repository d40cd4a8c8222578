"""The ledger in the target, which lists what a transfer did there."""

from dataclasses import dataclass

from psycopg import Connection
from psycopg.types.json import Jsonb

from backups_portal.lib.failure_causes import Cause
from backups_portal.transfers.errors import TransferError
from backups_portal.transfers.move.batches import Outcome

NEXT_ID = "SELECT nextval(pg_get_serial_sequence('variable', 'id'))"


@dataclass(frozen=True)
class Entry:
    """A batch in the target, with the ids and transactions of its records."""

    number: int
    first_id: int
    last_id: int
    xids: list[int]
    outcome: Outcome


def open_ledger(target: Connection, transfer: str, source_prefix: str) -> None:
    """Create the head of a transfer's ledger, unless it exists."""
    target.execute(
        """INSERT INTO transfer_run (transfer_id, source_prefix) VALUES (%s, %s)
           ON CONFLICT DO NOTHING""",
        [transfer, source_prefix],
    )


def check_open(target: Connection, transfer: str) -> None:
    """Hold the ledger open until the transaction ends.

    Raises:
        TransferError: an undo has closed it.
    """
    row = target.execute(
        "SELECT is_open FROM transfer_run WHERE transfer_id = %s FOR SHARE", [transfer]
    ).fetchone()
    if row is None or not row[0]:
        raise TransferError("This transfer was undone.", cause=Cause.REMOVED)


def commit_unseen(target: Connection) -> None:
    """Commit this transaction without waiting for the disk; `write_out` does.

    If the server crashes, its entry in the ledger is lost with it, and the work is repeated.
    """
    target.execute("SET LOCAL synchronous_commit = off")


def begin_batch(target: Connection, transfer: str, number: int) -> bool:
    """Enter a batch, waiting for others at it; return False if it is done."""
    commit_unseen(target)
    check_open(target, transfer)
    first = target.execute(
        f"""INSERT INTO transfer_batch (transfer_id, number, first_id, last_id, xid, outcome)
            SELECT %s, %s, number, number, pg_current_xact_id()::xid, '{{}}'
            FROM ({NEXT_ID} AS number) AS next
            ON CONFLICT DO NOTHING RETURNING number""",  # noqa: S608 - NEXT_ID
        [transfer, number],
    ).fetchone()
    return first is not None


def end_batch(target: Connection, transfer: str, number: int, outcome: Outcome) -> None:
    """Record the outcome of a batch."""
    target.execute(
        f"""UPDATE transfer_batch SET last_id = ({NEXT_ID}), outcome = %s
            WHERE (transfer_id, number) = (%s, %s)""",  # noqa: S608 - NEXT_ID
        [Jsonb(outcome.as_json()), transfer, number],
    )


def read_entries(target: Connection, transfer: str) -> list[Entry]:
    """Read the batches that are in the target."""
    rows = target.execute(
        """SELECT number, first_id, last_id, xid::text::bigint || ARRAY(
                      SELECT back.xid::text::bigint FROM transfer_returned AS back
                      WHERE (back.transfer_id, back.number) = (batch.transfer_id, batch.number)
                  ), outcome
           FROM transfer_batch AS batch WHERE transfer_id = %s ORDER BY number""",
        [transfer],
    )
    return [
        Entry(number, first, last, xids, Outcome.from_json(outcome))
        for number, first, last, xids, outcome in rows
    ]


def read_placed(target: Connection, transfer: str) -> set[tuple[str, str]]:
    """Read the kinds and ids of resources that a transfer created or replaced."""
    rows = target.execute(
        "SELECT kind, id::text FROM transfer_resource WHERE transfer_id = %s", [transfer]
    )
    return {(kind, resource) for kind, resource in rows}


def forget(target: Connection, transfer: str) -> None:
    """Drop a transfer's ledger, after which it cannot be undone."""
    target.execute("DELETE FROM transfer_run WHERE transfer_id = %s", [transfer])


def write_out(target: Connection, transfer: str) -> None:
    """Wait until everything that was moved is on the server's disk."""
    # A synchronous commit flushes all earlier ones, but only if it wrote something itself.
    target.execute("UPDATE transfer_run SET is_open = is_open WHERE transfer_id = %s", [transfer])
