"""Schemas of the devices and records inside a backup."""

from datetime import datetime
from typing import Any, Literal

from ninja import Field, Schema


class Device(Schema):
    """A device inside a backup."""

    id: str
    name: str
    variables: int = Field(description="Different names of its records")
    rows: int
    first: datetime | None = Field(description="Time of its first record")
    last: datetime | None


class Devices(Schema):
    """Devices of a backup, by name."""

    items: list[Device]
    cursor: str | None = Field(description="Send it to get the next ones; null after the last one")


class Location(Schema):
    """Where a record was made, in degrees."""

    latitude: float
    longitude: float


class Record(Schema):
    """A data record of a device, as a backup has it."""

    id: str = Field(description="A restore gives every record a new one")
    variable: str
    type: Literal["number", "string", "boolean", "none"]
    value: float | int | str | bool | None
    unit: str | None
    group: str
    time: datetime
    location: Location | None
    metadata: Any = Field(description="JSON, as it was sent; null if there is none")


class Records(Schema):
    """Records of a device, the newest first."""

    items: list[Record]
    cursor: str | None = Field(
        description="Send it to get older ones; null after the last one. A page may have fewer "
        "items than its limit, or none, and a cursor: what was searched in time had no more"
    )
