"""Publish the records of a device to the clients that follow it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.tagoio_api.envelope import as_json
from backups_portal.tagoio_api.streams.events import heard, publish

# The inspector shows this many characters of a payload.
MAX_INSPECTED = 10_000


def publish_data(prefix: str, device_id: str, items: Sequence[object]) -> None:
    """Publish stored records if a client listens; else just ask Redis once."""
    data, inspector = f"device_data.{device_id}", f"device_inspector.{device_id}"
    for name in heard(prefix, [data, inspector]):
        payload = items if name == data else _inspected(device_id, items)
        publish(prefix, name, name, payload)


def _inspected(device_id: str, items: Sequence[object]) -> JsonObject:
    return {
        "connection_id": new_resource_id(),
        "device_id": device_id,
        "title": f"{len(items)} Data Added",
        "content": as_json(items).decode()[:MAX_INSPECTED],
        "timestamp": datetime.now(UTC),
    }
