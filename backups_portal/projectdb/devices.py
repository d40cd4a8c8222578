"""Create, configure and delete devices, with their tokens, records and chunks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.record_writer import UnknownDeviceError, delete_of_device
from backups_portal.projectdb.resource_writer import create, edit
from backups_portal.projectdb.tokens import NewToken, TokenGrant, create_token

PARAMETER_COLUMNS = ("key", "value", "sent")


def device_name(connection: Connection, device_id: str) -> str:
    """Return a device's name, or its id if it is gone."""
    found = connection.execute("SELECT name FROM device WHERE id::text = %s", [device_id])
    row = found.fetchone()
    return str(row[0]) if row else device_id


def create_device(
    connection: Connection,
    *,
    keys: Keyring,
    parameters: Sequence[Mapping[str, object]] = (),
    serie_number: str | None = None,
    permission: str = "full",
    **values: object,
) -> tuple[str, NewToken]:
    """Make a device with its parameters and its first token, called Default.

    Args:
        parameters: See `set_parameters`.
        permission: The token's permission.
        values: Columns of the device: its `name`, and a `type` unless it is mutable.

    Raises:
        UnknownColumnError: a column is not a device's.
        psycopg.IntegrityError: such as an immutable device without chunk period and retention.
    """
    with connection.transaction():
        device_id = create(connection, "device", **{"type": "mutable", **values})
        set_parameters(connection, device_id=device_id, parameters=parameters)
        token = create_token(
            connection,
            TokenGrant(
                "device",
                name="Default",
                device_id=device_id,
                serie_number=serie_number,
                permission=permission,
            ),
            keys=keys,
        )
    return device_id, token


def set_parameters(
    connection: Connection, *, device_id: str, parameters: Sequence[Mapping[str, object]]
) -> list[str]:
    """Change or add configuration parameters of a device; return their ids.

    Args:
        parameters: {key, value, sent?} each. One with the `id` of a parameter of this device
            changes the fields that it names; any other is added under a new id.

    Raises:
        psycopg.IntegrityError: there is no such device, or a new one lacks its key or value.
    """
    with connection.transaction():
        return [_set_parameter(connection, device_id, parameter) for parameter in parameters]


def _set_parameter(connection: Connection, device_id: str, parameter: Mapping[str, object]) -> str:
    given = {name: parameter.get(name) for name in PARAMETER_COLUMNS}
    values = {name: value for name, value in given.items() if value is not None}
    known = parameter.get("id")
    owner = {"device_id": device_id}
    if known and edit(connection, "device_parameter", str(known), owner, **values):
        return str(known)
    return create(connection, "device_parameter", device_id=device_id, **values)


class ConversionError(ValueError):
    """The device cannot change its type now; clients may see the message."""


def convert_device(
    connection: Connection,
    device_id: str,
    *,
    type: str,  # noqa: A002 - the column
    chunk_period: str | None,
    chunk_retention: int | None,
) -> None:
    """Make a mutable device immutable or the reverse, or change its chunks.

    Raises:
        ConversionError: it is switched on, or has data.
        UnknownDeviceError: there is no such device.
    """
    with connection.transaction():
        # The lock keeps concurrent requests from storing records.
        row = connection.execute(
            """SELECT active, EXISTS (SELECT FROM series JOIN variable ON series_id = series.id
                                      WHERE device_id = device.id)
               FROM device WHERE id = %s FOR UPDATE""",
            [device_id],
        ).fetchone()
        if row is None:
            raise UnknownDeviceError(device_id)
        if row[0]:
            raise ConversionError("Deactivate the device before it is converted")
        if row[1]:
            raise ConversionError("Empty the device before it is converted")
        edit(connection, "device", device_id, type=type, chunk_period=chunk_period,
             chunk_retention=chunk_retention)  # fmt: skip


def delete_device(connection: Connection, device_id: str) -> int:
    """Delete a device with everything it owns; return how many records.

    Raises:
        UnknownDeviceError: there is no such device.
    """
    with connection.transaction():
        # The lock waits for requests that are storing its records, and keeps out new ones: no
        # foreign key would reject records that arrive after the deletion.
        found = connection.execute("SELECT FROM device WHERE id = %s FOR UPDATE", [device_id])
        if found.fetchone() is None:
            raise UnknownDeviceError(device_id)
        count = delete_of_device(connection, device_id)
        connection.execute("DELETE FROM device WHERE id = %s", [device_id])
    return count


class Chunk(NamedTuple):
    """An immutable device's records from `start` up to, but excluding, `end`."""

    start: datetime
    end: datetime
    amount: int


def list_chunks(connection: Connection, device_id: str) -> list[Chunk]:
    """List the periods of an immutable device that have records, oldest first."""
    rows = connection.execute(
        """SELECT start, ((start AT TIME ZONE 'UTC') + length) AT TIME ZONE 'UTC', amount
           FROM (SELECT date_trunc(chunk_period, time, 'UTC') AS start,
                        CASE chunk_period WHEN 'quarter' THEN interval '3 months'
                             ELSE ('1 ' || chunk_period)::interval END AS length,
                        count(*) AS amount
                 FROM device JOIN series ON device_id = device.id
                      JOIN variable ON series_id = series.id
                 WHERE device.id = %s AND device.type = 'immutable' GROUP BY 1, 2) AS chunk
           ORDER BY start""",
        [device_id],
    )
    return [Chunk(*row) for row in rows]


def delete_chunk(connection: Connection, device_id: str, start: datetime, end: datetime) -> int:
    """Delete a device's records of a period; return how many there were."""
    return connection.execute(
        """DELETE FROM variable WHERE time >= %s AND time < %s
           AND series_id IN (SELECT id FROM series WHERE device_id = %s)""",
        [start, end, device_id],
    ).rowcount
