"""What those hear who follow a device: its records as they come in, and who sent what."""

from datetime import UTC, datetime
from typing import Any

from backups_portal.api.envelope import as_json
from backups_portal.api.events import heard, publish
from backups_portal.projectdb.ids import new_resource_id

# Of what was sent, an inspector is shown this many characters.
LONGEST = 10_000


def tell_of_data(prefix: str, device_id: str, items: list[Any]) -> None:
    """Tell of records that were stored, where anybody listens: one question to Redis if nobody."""
    data, inspector = f"device_data.{device_id}", f"device_inspector.{device_id}"
    for name in heard(prefix, [data, inspector]):
        payload = items if name == data else _inspected(device_id, items)
        publish(prefix, name, name, payload)


def _inspected(device_id: str, items: list[Any]) -> dict[str, Any]:
    return {
        "connection_id": new_resource_id(),
        "device_id": device_id,
        "title": f"{len(items)} Data Added",
        "content": as_json(items).decode()[:LONGEST],
        "timestamp": datetime.now(UTC),
    }
