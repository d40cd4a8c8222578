"""Numbers beyond 64 bits come back from a backup digit by digit."""

import io

import psycopg

from backups_portal.accounts.models import Account
from backups_portal.projectdb.devices import create_device
from backups_portal.projectdb.record_writer import send
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files.csv_import_export import export_csv, import_csv
from tests.restores.test_real_series import back_up_and_restore

TRUCK, VAN = "a" * 24, "b" * 24
# As a client sends it, and as Python reads and writes it.
EXACT = '{"n":123456789012345678901234567890,"m":-9223372036854775809}'
# As SQL stores it.
ODD = '{"n": 1.00000000000000000000001, "m": 1e400, "o": 18446744073709551616}'
NEWEST = "UPDATE variable SET metadata = %s WHERE id = (SELECT max(id) FROM variable)"
METADATA = "SELECT metadata::text FROM variable_record WHERE device = %s ORDER BY time, variable"


def test_every_digit_comes_back(project: Project, owner: Account, storage_url: str) -> None:
    with psycopg.connect(project_dsn(project)) as live:
        for device in (TRUCK, VAN):
            create_device(live, keys=keyring(), id=device, name=device[:1])
        metadata = {"n": 123456789012345678901234567890, "m": -9223372036854775809}
        record = {"variable": "t", "value": 1, "metadata": metadata}
        send(live, device_id=TRUCK, records=[record, {**record, "variable": "u"}])
        live.execute(NEWEST, [ODD])
        live.execute("UPDATE device SET settings = %s", [ODD])
        kept = live.execute("SELECT settings::text FROM device ORDER BY id").fetchall()
    _, restored = back_up_and_restore(project, owner)
    with psycopg.connect(project_dsn(restored)) as back:
        assert back.execute(METADATA, [TRUCK]).fetchall() == [(EXACT,), (ODD,)]
        assert back.execute("SELECT settings::text FROM device ORDER BY id").fetchall() == kept
        back.execute("DELETE FROM variable WHERE metadata::text = %s", [ODD])
    file = "".join(export_csv(restored, TRUCK, actor=owner)).encode()
    assert import_csv(project, VAN, io.BytesIO(file), actor=owner).rows == 1
    with psycopg.connect(project_dsn(project)) as live:
        assert live.execute(METADATA, [VAN]).fetchall() == [(EXACT,)]
