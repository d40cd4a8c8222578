"""Compare counts and digests of what was chosen with what was stored.

The ledger has the digests that the source computed of the chosen records. The target's records are
read back from its table, by the ids and transactions in the ledger.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from psycopg import Connection

from backups_portal.transfers.move.batches import FATES, STORED, Outcome
from backups_portal.transfers.move.block_summaries import search_by_number, summarize_blocks
from backups_portal.transfers.move.device_settings import (
    SettingsChanges,
    find_changes,
    read_changes,
)
from backups_portal.transfers.move.lane_digests import Cell, Cells, digest_batches
from backups_portal.transfers.move.ledger import Entry, read_entries
from backups_portal.transfers.move.series_map import Side
from backups_portal.transfers.move.tracks import twin
from backups_portal.transfers.plan.dry_run import Plan, add_outcome


@dataclass(frozen=True)
class Line:
    """The line of a device in the report.

    Attributes:
        chosen: The number of rows chosen in the source.
        fates: The number of rows by fate: added, already present, …
        stored: The number of added or replacing rows that were found in the target.
        is_equal: Whether counts and digests agree.
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
    """Compare every device whose records were moved, and summarize blocks."""
    total = Outcome()
    entries = read_entries(target, transfer)
    for entry in entries:
        add_outcome(total, entry.outcome)
    entries = [one for one in entries if one.outcome.stored]
    # This reads unsummarized blocks anyway; summarizing them in parallel speeds up later readers.
    with twin(target) as beside, ThreadPoolExecutor(1) as threads:
        summarized = threads.submit(summarize_blocks, beside)
        stored = _digest_stored(target, side, entries)
        summarized.result()
    return [
        _line(number, plan, total, stored.get(number, Cell())) for number in range(len(plan.moved))
    ]


def compare_settings(
    source: Connection, target: Connection, plan: Plan, *, transfer: str
) -> SettingsChanges:
    """Compare tags and parameters of every device that was there."""
    devices, other_ids = plan.there, plan.renamed()
    changed = read_changes(source, target, transfer, devices, other_ids)
    left = find_changes(source, target, devices, other_ids)
    return replace(changed, different=left.devices)


def _digest_stored(target: Connection, side: Side, entries: list[Entry]) -> Cells:
    if not entries:
        return {}
    # All at once, because the ids of batches that were moved in parallel are interleaved.
    first, last = min(one.first_id for one in entries), max(one.last_id for one in entries)
    with target.transaction():
        search_by_number(target)
        # A new table has no statistics on how few series there are either; they fit into memory.
        target.execute("SET LOCAL enable_sort = off")
        xids = [xid for one in entries for xid in one.xids]
        return digest_batches(target, side, first, last, xids)


def _line(number: int, plan: Plan, total: Outcome, stored: Cell) -> Line:
    match, chosen = plan.moved[number], total.chosen.get(number, Cell())
    fates = {fate: total.fates[fate].get(number, Cell()) for fate in FATES}
    # Records that were present or left out were digested when they were judged.
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
