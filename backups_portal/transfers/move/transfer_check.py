"""Compare counts and digests of what was chosen with what was stored.

What the source was asked for is in the ledger, digested there by the source itself. What the target
has is read back from its table, by the numbers and the transactions that the ledger names.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from psycopg import Connection

from backups_portal.transfers.move.batches import FATES, STORED, Outcome
from backups_portal.transfers.move.block_summaries import search_by_number, summarize_blocks
from backups_portal.transfers.move.lane_digests import Cell, Cells, digest_batches
from backups_portal.transfers.move.ledger import Entry, read_entries
from backups_portal.transfers.move.series_map import Side
from backups_portal.transfers.move.tracks import twin
from backups_portal.transfers.plan.dry_run import Plan, add_outcome


@dataclass(frozen=True)
class Line:
    """One device of the report.

    Attributes:
        chosen: Rows chosen in the source.
        fates: How many of them were added, were there already, …
        stored: Rows found in the target of those that were added.
        is_equal: Counts and digests agree.
    """

    source: str
    target: str
    name: str
    how: str
    chosen: int
    fates: dict[str, int]
    stored: int
    is_equal: bool
    source_digest: str
    target_digest: str


def compare(target: Connection, plan: Plan, side: Side, *, transfer: str) -> list[Line]:
    """Compare every device whose records were moved; summarize their blocks beside it."""
    total = Outcome()
    entries = read_entries(target, transfer)
    for entry in entries:
        add_outcome(total, entry.outcome)
    entries = [one for one in entries if one.outcome.stored]
    # What is not summarized yet has to be read here anyway, and is for those who come next.
    with twin(target) as beside, ThreadPoolExecutor(1) as threads:
        summarized = threads.submit(summarize_blocks, beside)
        stored = _digest_stored(target, side, entries)
        summarized.result()
    return [
        _line(number, plan, total, stored.get(number, Cell())) for number in range(len(plan.moved))
    ]


def _digest_stored(target: Connection, side: Side, entries: list[Entry]) -> Cells:
    if not entries:
        return {}
    # All at once: batches that were moved side by side have their numbers among one another's.
    first, last = min(one.first_id for one in entries), max(one.last_id for one in entries)
    with target.transaction():
        search_by_number(target)
        # A new table has no statistics either on how few series there are, which fit into memory.
        target.execute("SET LOCAL enable_sort = off")
        xids = [xid for one in entries for xid in one.xids]
        return digest_batches(target, side, first, last, xids)


def _line(number: int, plan: Plan, total: Outcome, stored: Cell) -> Line:
    match, chosen = plan.moved[number], total.chosen.get(number, Cell())
    fates = {fate: total.fates[fate].get(number, Cell()) for fate in FATES}
    # Of what was there already, and of what was left out, the digest was taken when it was judged.
    left = sum((fates[fate] for fate in FATES if fate not in STORED), Cell())
    found = stored + left
    return Line(
        match.source,
        match.target or "",
        match.name,
        match.how,
        chosen.rows,
        {fate: cell.rows for fate, cell in fates.items()},
        stored.rows,
        found == chosen,
        str(chosen.digest),
        str(found.digest),
    )
