"""CSV files of devices, requested with the Python SDK and made by a real worker."""

import time
from typing import Any

import pytest
from tagoio_sdk import Resources

from tests.contract.conftest import Endpoint
from tests.contract.python.test_migration import record, resources
from tests.forked_modules import ModuleProcess

Pair = tuple[Endpoint, Endpoint]
SECONDS = 60.0
RECORDS = [record(row) for row in range(400)]
KEPT = ("variable", "value", "unit", "group", "time", "location", "metadata")


@pytest.fixture
def project(endpoints: Pair, celery_worker: ModuleProcess) -> Resources:
    return resources(endpoints[0])


def test_a_device_goes_through_a_csv_file_into_another(project: Resources) -> None:
    source, target = (
        project.devices.create({"name": name, "type": "mutable"})["device_id"]
        for name in ("Truck", "Copy")
    )
    project.devices.sendDeviceData(source, RECORDS)
    asked = project.devices.dataBackup(
        {"deviceID": source, "file_address": "/out/$DEVICE$", "headers": True}
    )
    path = asked["file_address"]
    wait_for(lambda: [one["filename"] for one in files(project)] == [path])
    project.devices.dataRestore({"deviceID": target, "file_address": path})
    wait_for(lambda: project.devices.amount(target) == len(RECORDS))
    assert contents(project, target) == contents(project, source)


def files(project: Resources) -> list[dict[str, Any]]:
    return list(project.files.list({"path": "out"})["files"])


def contents(project: Resources, device_id: str) -> list[str]:
    """Return a device's records without the fields that differ between devices."""
    found = project.devices.getDeviceData(device_id, {"qty": 10_000})
    return sorted(str({key: entry.get(key) for key in KEPT}) for entry in found)


def wait_for(condition: Any) -> None:
    """Wait until the worker has done the requested work."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("the worker did not do it")
