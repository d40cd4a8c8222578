"""Move resources: devices that the target lacks, and other kinds.

Some resources at a time are moved in one transaction, with their rows in the ledger.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.projectdb.tokens import mint
from backups_portal.transfers.commit_guard import Guard, guarded
from backups_portal.transfers.move.ledger import check_open, commit_unseen
from backups_portal.transfers.move.new_tokens import renew_tokens
from backups_portal.transfers.move.resource_rows import (
    BY_KIND,
    Kind,
    Rows,
    as_json,
    digest,
    list_ids,
    match_resources,
    read_rows,
    rename_ids,
    replace_rows,
    same_values,
    write_rows,
)
from backups_portal.transfers.plan.selection import Rule

# Resources per transaction, since a commit with its check of the right takes as long as moving one.
TOGETHER = 25
CREATED, PRESENT, CONFLICT, REPLACED = "created", "present", "conflict", "replaced"


@dataclass(frozen=True)
class Placement:
    """The fate of one resource.

    Attributes:
        target: Its id in the target.
        fate: One of created, present, conflict (left as it is) or replaced.
    """

    kind: str
    source: str
    target: str
    name: str
    fate: str


@dataclass(frozen=True)
class Placing:
    """The context of placing resources; `ids` maps device ids that differ."""

    source: Connection
    target: Connection
    transfer: str
    prefix: str
    keys: Keyring
    ids: dict[str, str]
    guard: Guard


def plan_kind(
    source: Connection, target: Connection, kind: Kind, rule: Rule, ids: dict[str, str]
) -> list[Placement]:
    """Plan the fate of all resources of a kind."""
    sources, targets = list_ids(source, kind), list_ids(target, kind)
    holders = {key: holder for holder, key in targets.items()} if kind.is_unique else {}
    placements = []
    for resource, found in match_resources(kind, sources, targets).items():
        fate = CREATED
        if found is not None:
            mine = rename_ids(read_rows(source, kind, resource), {**ids, resource: found})
            same = same_values(mine, read_rows(target, kind, found))
            fate = PRESENT if same else REPLACED if rule is Rule.REPLACE else CONFLICT
        name = sources[resource]
        holder = holders.get(name, found)
        if fate in (CREATED, REPLACED) and holder != found:
            # The key is unique in the database.
            found, fate = found or holder, CONFLICT
        placements.append(Placement(kind.name, resource, found or resource, name, fate))
    return placements


def place(work: Placing, placements: Iterable[Placement]) -> None:
    """Create or replace planned resources that are not yet done."""
    todo = [one for one in placements if one.fate in (CREATED, REPLACED)]
    for first in range(0, len(todo), TOGETHER):
        with guarded(work.target, work.guard):
            commit_unseen(work.target)
            check_open(work.target, work.transfer)
            for placement in todo[first : first + TOGETHER]:
                _place(work, placement)


def _place(work: Placing, placement: Placement) -> None:
    kind, target = BY_KIND[placement.kind], work.target
    found = target.execute(
        "SELECT FROM transfer_resource WHERE (transfer_id, kind, id) = (%s, %s, %s)",
        [work.transfer, kind.name, placement.target],
    )
    if found.fetchone() is not None:
        return
    rows = read_rows(work.source, kind, placement.source)
    if not rows[kind.name]:
        return
    old = read_rows(target, kind, placement.target)
    if old[kind.name] and placement.fate == CREATED:
        # It appeared after the dry run, so the owner has not agreed to replace it.
        return
    rows = rename_ids(rows, _other_ids(work, placement, rows))
    # If its key was taken since the dry run, skip it.
    with suppress(psycopg.errors.UniqueViolation), target.transaction():
        _write(work, placement, old, rows)


def _write(work: Placing, placement: Placement, old: Rows, rows: Rows) -> None:
    """Write a resource, and record it in the ledger."""
    kind, target = BY_KIND[placement.kind], work.target
    if old[kind.name]:
        replace_rows(target, kind, placement.target, rows)
    else:
        write_rows(target, rows)
        renew_tokens(
            work.source,
            target,
            kind=kind.name,
            old=placement.source,
            new=placement.target,
            make_token=lambda: mint(kind.name, prefix=work.prefix, keys=work.keys),
        )
    target.execute(
        """INSERT INTO transfer_resource (transfer_id, kind, id, source_id, replaced, written)
           VALUES (%s, %s, %s, %s, %s::jsonb, %s)""",
        [
            work.transfer,
            kind.name,
            placement.target,
            placement.source,
            as_json(old) if old[kind.name] else None,
            Jsonb(digest(read_rows(target, kind, placement.target))),
        ],
    )


def _other_ids(work: Placing, placement: Placement, rows: Rows) -> dict[str, str]:
    """Map the ids that change: of devices, the resource and its parts."""
    ids = {**work.ids, placement.source: placement.target}
    if placement.source != placement.target:
        parts = [row.get("id") for items in list(rows.values())[1:] for row in items]
        ids |= {part: new_resource_id() for part in parts if part and len(part) == 24}
    return ids
