"""Put back the tags and parameters that a transfer has replaced, unless they were edited since."""

from collections.abc import Callable
from functools import partial

from psycopg import Connection

from backups_portal.transfers.commit_guard import guarded
from backups_portal.transfers.move.device_settings import KIND, TOGETHER
from backups_portal.transfers.move.settings_copy import DIGEST, lock_settings
from backups_portal.transfers.move.undo_progress import StepGuard, Undone

PLACE = "(resource.transfer_id, resource.kind) = (%(transfer)s, %(kind)s)"
JUDGE = f"""SELECT resource.id::text, device.name, {DIGEST} = written ->> 'digest'
    FROM transfer_resource AS resource LEFT JOIN device ON device.id = resource.id
    WHERE {PLACE} AND resource.id = ANY(%(ids)s) ORDER BY resource.id"""  # noqa: S608
TAKE = f"""DELETE FROM device_parameter AS mine USING transfer_resource AS resource
    WHERE {PLACE} AND resource.id = ANY(%(ids)s)
        AND device_id = resource.id AND replaced -> 'keys' ? mine.key AND mine.id = ANY(%(held)s)
    RETURNING device_id::text, mine.key, sent AND NOT EXISTS (
        SELECT FROM jsonb_to_recordset(replaced -> 'parameters') AS old (id text, value text)
        WHERE (old.id, old.value) = (mine.id, mine.value))"""  # noqa: S608 - constants
# A device that has read a value of the transfer has to read the parameter again.
PUT = f"""INSERT INTO device_parameter (id, device_id, key, value, sent)
    SELECT old.id, resource.id, old.key, old.value, old.sent AND NOT EXISTS (
        SELECT FROM unnest(%(devices)s::text[], %(keys)s::text[]) AS seen (device, key)
        WHERE (seen.device, seen.key) = (resource.id, old.key))
    FROM transfer_resource AS resource, jsonb_to_recordset(replaced -> 'parameters')
        AS old (id text, key text, value text, sent boolean)
    WHERE {PLACE} AND resource.id = ANY(%(ids)s)"""  # noqa: S608 - constants
PUT_TAGS = f"""UPDATE device SET tags = replaced -> 'tags', updated_at = CASE updated_at
        WHEN (written ->> 'updated_at')::timestamptz
        THEN (replaced ->> 'updated_at')::timestamptz ELSE now() END
    FROM transfer_resource AS resource
    WHERE {PLACE} AND device.id = resource.id AND device.id = ANY(%(ids)s)
        AND tags::text <> (replaced -> 'tags')::text"""  # noqa: S608 - constants
FORGET = f"""DELETE FROM transfer_resource AS resource
    WHERE {PLACE} AND resource.id = ANY(%(ids)s)"""  # noqa: S608 - constants


def undo_settings(
    target: Connection,
    transfer: str,
    done: Undone,
    on_batch: Callable[[], None],
    guard: StepGuard,
) -> None:
    """Put settings back, in batches.

    Each batch is one transaction with its rows of the ledger.

    Args:
        done, on_batch, guard: As in `undo`.
    """
    rows = target.execute(
        "SELECT id::text FROM transfer_resource WHERE (transfer_id, kind) = (%s, %s) ORDER BY id",
        [transfer, KIND],
    )
    ids = [device for (device,) in rows]
    for first in range(0, len(ids), TOGETHER):
        batch = ids[first : first + TOGETHER]
        with guarded(target, partial(guard, (KIND, batch[0]))):
            _put_back(target, transfer, batch, done)
        on_batch()


def _put_back(target: Connection, transfer: str, batch: list[str], done: Undone) -> None:
    held = lock_settings(target, batch)
    about = {"transfer": transfer, "kind": KIND, "ids": batch}
    good = []
    for device, name, is_untouched in target.execute(JUDGE, about):
        if is_untouched:
            good.append(device)
        else:
            reason = "it was deleted since" if name is None else "they were edited since"
            done.kept.append({"kind": KIND, "id": device, "name": name or "", "reason": reason})
    ours = {**about, "ids": good}
    taken = target.execute(TAKE, {**ours, "held": held}).fetchall()
    seen = [(device, key) for device, key, is_read in taken if is_read]
    keys = {"devices": [device for device, _ in seen], "keys": [key for _, key in seen]}
    target.execute(PUT, {**ours, **keys})
    target.execute(PUT_TAGS, ours)
    done.device_settings += len(good)
    target.execute(FORGET, about)
