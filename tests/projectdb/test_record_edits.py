"""Edits reach every record, whatever other requests change meanwhile."""

import json

import pytest

from backups_portal.projectdb.devices import create_device, delete_device
from backups_portal.projectdb.record_edits import edit_records
from backups_portal.projectdb.record_filter import Selection
from backups_portal.projectdb.record_reader import find_device, read_page
from backups_portal.projectdb.record_writer import UnknownDeviceError, send
from tests.projectdatabases import KEYS, Connection, Target


def test_an_edit_finds_a_record_whose_unit_was_changed_meanwhile(
    database: Connection, target: Target
) -> None:
    device_id, _ = create_device(database, keys=KEYS, name="Truck")
    send(database, device_id=device_id, records=[{"variable": "t", "value": 1, "unit": "C"}])
    before = find_device(database, device_id, prefix=target.prefix)
    record = json.loads(read_page(database, before, Selection(), limit=1)[0])
    # Another unit is another series, which this edit's caller does not know yet.
    edit_records(database, before, [{"id": record["id"], "unit": "F"}])
    assert edit_records(database, before, [{"id": record["id"], "value": 2}]) == 1
    after = find_device(database, device_id, prefix=target.prefix)
    edited = json.loads(read_page(database, after, Selection(), limit=1)[0])
    assert edited == {**record, "unit": "F", "value": 2}


def test_an_edit_of_a_device_that_was_deleted_meanwhile_is_refused(
    database: Connection, target: Target
) -> None:
    device_id, _ = create_device(database, keys=KEYS, name="Truck")
    before = find_device(database, device_id, prefix=target.prefix)
    delete_device(database, device_id)
    with pytest.raises(UnknownDeviceError):
        edit_records(database, before, [{"id": f"{target.prefix}{1:016x}", "value": 2}])
