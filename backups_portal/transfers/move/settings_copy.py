"""Bring tags and parameters of the source back to devices that the target has already."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from psycopg import Connection
from psycopg.types.json import Jsonb

from backups_portal.lib.failure_causes import Cause
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.transfers.commit_guard import guarded
from backups_portal.transfers.errors import DEVICE_GONE, TransferError
from backups_portal.transfers.move.device_settings import (
    KIND,
    TOGETHER,
    Entry,
    Settings,
    by_key,
    changed_keys,
    read_settings,
    read_sought,
)
from backups_portal.transfers.move.ledger import check_open, commit_unseen
from backups_portal.transfers.move.resource_copy import Placing

# Detects edits since then. A device that reads a parameter does not edit it.
DIGEST = """encode(sha256(convert_to(jsonb_build_array(device.tags, (
        SELECT jsonb_agg(jsonb_build_array(id, key, value) ORDER BY id)
        FROM device_parameter WHERE device_id = device.id
    ))::text, 'UTF8')), 'hex')"""
# Records and new parameters, whose foreign keys lock the device as well, do not wait for this.
HOLD_DEVICES = "SELECT FROM device WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
HOLD_PARAMETERS = """SELECT id::text FROM device_parameter WHERE device_id = ANY(%s)
    ORDER BY id FOR UPDATE"""
DONE = """SELECT id::text FROM transfer_resource
    WHERE (transfer_id, kind) = (%s, %s) AND id = ANY(%s)"""
KEEP = """INSERT INTO transfer_resource (transfer_id, kind, id, source_id, replaced, written)
    SELECT %(transfer)s, %(kind)s, device.id, edit.source, jsonb_build_object(
        'tags', tags, 'updated_at', updated_at, 'keys', edit.keys,
        'parameters', (
            SELECT coalesce(jsonb_agg(to_jsonb(old)), '[]') FROM device_parameter AS old
            WHERE device_id = device.id AND edit.keys ? key
        )), '{}'
    FROM jsonb_to_recordset(%(edits)s) AS edit (target text, source text, keys jsonb)
    JOIN device ON device.id = edit.target"""
WRITE_TAGS = """UPDATE device SET tags = edit.tags::jsonb, updated_at = now()
    FROM unnest(%s::text[], %s::text[]) AS edit (id, tags) WHERE device.id = edit.id"""
DROP = "DELETE FROM device_parameter WHERE id = ANY(%s)"
# The device has to read the parameter again.
CHANGE = """UPDATE device_parameter SET value = edit.value, sent = false
    FROM unnest(%s::text[], %s::text[]) AS edit (id, value) WHERE device_parameter.id = edit.id"""
ADD = """INSERT INTO device_parameter (device_id, id, key, value)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])"""
# A parameter added meanwhile stays out of the digest: undo then finds the settings edited.
NOTE = f"""WITH device_parameter AS (SELECT * FROM device_parameter WHERE id = ANY(%s))
    UPDATE transfer_resource AS resource
    SET written = jsonb_build_object('digest', {DIGEST}, 'updated_at', updated_at)
    FROM device WHERE (transfer_id, kind) = (%s, %s)
        AND resource.id = device.id AND device.id = ANY(%s)"""  # noqa: S608 - a constant


def lock_settings(target: Connection, ids: Sequence[str]) -> list[str]:
    """Lock the settings of devices until the transaction ends.

    Returns:
        The ids of the locked parameters; others may be added meanwhile.
    """
    target.execute(HOLD_DEVICES, [list(ids)])
    return [key for (key,) in target.execute(HOLD_PARAMETERS, [list(ids)])]


def bring_back_settings(
    work: Placing, pairs: Sequence[tuple[str, str]], on_batch: Callable[[], None]
) -> None:
    """Give devices of the target the settings of the source, in batches.

    Each batch is one transaction.

    Devices that an earlier attempt has changed are skipped, even if they were edited since.

    Args:
        pairs: The ids of each device in source and target.
        on_batch: Called before each transaction; may raise to stop there.

    Raises:
        TransferError: the transfer was undone, or a device is gone.
    """
    for first in range(0, len(pairs), TOGETHER):
        on_batch()
        batch = dict(pairs[first : first + TOGETHER])
        sought = read_sought(work.source, list(batch), work.ids)
        with guarded(work.target, work.guard):
            commit_unseen(work.target)
            check_open(work.target, work.transfer)
            ids = list(batch.values())
            lock_settings(work.target, ids)
            there = read_settings(work.target, ids)
            if len(there) < len(ids):
                raise TransferError(DEVICE_GONE, cause=Cause.REMOVED)
            for (done,) in work.target.execute(DONE, [work.transfer, KIND, ids]):
                del there[done]
            edits = Edits()
            for source, target in batch.items():
                if source in sought and target in there:
                    edits.add(source, target, sought[source], there[target])
            if edits.heads:
                _write(work, edits)


@dataclass
class Edits:
    """The writes of one transaction.

    Attributes:
        heads: The ids of each device that changes, and the keys of parameters that change.
        known: The ids of the existing parameters.
        tags: All tags of each device, as JSON.
        dropped: The ids of parameters to delete.
        changed: The new values of parameters, by id.
        added: New parameters, each with the id of its device.
    """

    heads: list[dict[str, object]] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)
    added: list[tuple[str, Entry]] = field(default_factory=list)

    def add(self, source: str, target: str, sought: Settings, there: Settings) -> None:
        """Add the writes that a device needs, if any."""
        keys = changed_keys(sought.parameters, there.parameters)
        if changed_keys(sought.tags, there.tags):
            known = by_key(sought.tags)
            tags = [*sought.tags, *(tag for tag in there.tags if tag.key not in known)]
            self.tags[target] = f"[{', '.join(tag.stored for tag in tags)}]"
        elif not keys:
            return
        self.heads.append({"source": source, "target": target, "keys": keys})
        self.known += [one.id for one in there.parameters]
        wanted, found = by_key(sought.parameters), by_key(there.parameters)
        for key in keys:
            self._add_parameters(target, wanted[key], found.get(key, []))

    def _add_parameters(self, device: str, wanted: list[Entry], found: list[Entry]) -> None:
        """Keep parameters with right values; give missing values to others."""
        missing = _without(wanted, found)
        wrong = _without(found, wanted)
        # By id first: if a key repeats, the same parameter gets its value back.
        own = {one.id for one in missing}
        wrong.sort(key=lambda one: one.id not in own)
        order = {one.id: place for place, one in enumerate(wrong)}
        missing.sort(key=lambda one: order.get(one.id, len(order)))
        for old, new in zip(wrong, missing, strict=False):
            self.changed[old.id] = new.stored
        self.dropped += [one.id for one in wrong[len(missing) :]]
        self.added += [(device, one) for one in missing[len(wrong) :]]


def _without(entries: list[Entry], others: list[Entry]) -> list[Entry]:
    """Remove as many entries of each value as the others have."""
    left = Counter(one.stored for one in others)
    rest = []
    for one in entries:
        if left[one.stored]:
            left[one.stored] -= 1
        else:
            rest.append(one)
    return rest


def _write(work: Placing, edits: Edits) -> None:
    """Store the replaced settings in the ledger, and replace them."""
    target, about = work.target, {"transfer": work.transfer, "kind": KIND}
    target.execute(KEEP, {**about, "edits": Jsonb(edits.heads)})
    target.execute(WRITE_TAGS, [list(edits.tags), list(edits.tags.values())])
    target.execute(DROP, [edits.dropped])
    target.execute(CHANGE, [list(edits.changed), list(edits.changed.values())])
    ours = [*edits.known, *_add(target, edits.added)]
    target.execute(NOTE, [ours, *about.values(), [head["target"] for head in edits.heads]])


def _add(target: Connection, added: list[tuple[str, Entry]]) -> list[str]:
    """Add parameters under their ids in the source, if these are free."""
    ids = [one.id for _, one in added]
    rows = target.execute("SELECT id::text FROM device_parameter WHERE id = ANY(%s)", [ids])
    taken = {key for (key,) in rows}
    ids = [new_resource_id() if key in taken else key for key in ids]
    devices, entries = [device for device, _ in added], [one for _, one in added]
    columns = (devices, ids, [one.key for one in entries], [one.stored for one in entries])
    target.execute(ADD, columns)
    return ids
