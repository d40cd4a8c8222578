"""Tags and parameters of ten thousand devices come back in little memory."""

import time
import tracemalloc

from restores.snapshot_loader import Target
from tests.transfers.engine import Transfer
from tests.transfers.test_device_settings import ONLY, change, everything

MANY = 10_000
# Of this process; measured: 12, of which following the memory takes two thirds.
MAX_SECONDS = 60
FILL = """INSERT INTO device (id, name, type, tags)
    SELECT lpad(to_hex(n), 24, '0'), 'Truck ' || n, 'mutable',
        jsonb_build_array(jsonb_build_object('key', 'site', 'value', repeat(%s, 200)))
    FROM generate_series(1, %s) AS n"""
FILL_PARAMETERS = """INSERT INTO device_parameter (id, device_id, key, value)
    SELECT lpad(to_hex(n), 24, '0'), lpad(to_hex(n), 24, '0'), 'depot', repeat(%s, 200)
    FROM generate_series(1, %s) AS n"""


def test_ten_thousand_devices_take_little_memory(source: Target, target: Target) -> None:
    """8 MB of settings, on either side, in the ledger, and on the way between them."""
    for database, value in ((source, "N"), (target, "S")):
        change(database, FILL, value, MANY)
        change(database, FILL_PARAMETERS, value, MANY)
    before = everything(target)
    transfer = Transfer(source, target, ONLY)
    began = time.process_time()
    for work in (transfer.dry_run, transfer.run, transfer.settings, transfer.undo):
        tracemalloc.start()
        work()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # The plan has a line for each device.
        assert peak < 20_000_000, work
    assert transfer.plan
    assert transfer.plan.settings
    assert (transfer.plan.settings.devices, len(transfer.plan.settings.lines)) == (MANY, 200)
    assert time.process_time() - began < MAX_SECONDS
    assert everything(target) == before
