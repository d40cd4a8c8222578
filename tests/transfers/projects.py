"""Two real projects of one owner, for tests of transfers in the portal."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import psycopg

from backups_portal.accounts.models import Account
from backups_portal.lib.leased_job import Ran
from backups_portal.projectdb.devices import create_device
from backups_portal.projectdb.record_writer import send
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import BackupSettings, create_project
from backups_portal.transfers.csv_files import csv_job
from backups_portal.transfers.models import CsvRequest

START = datetime(2026, 3, 1, tzinfo=UTC)
DEVICE = "a" * 24


def make_project(owner: Account, name: str) -> Project:
    """Make a project with its own database."""
    return create_project(name=name, owner=owner, settings=BackupSettings(time(3), "UTC", 7, START))


def open_project(project: Project) -> psycopg.Connection[Any]:
    """Connect with the project's own role."""
    return psycopg.connect(project_dsn(project))


def add_truck(project: Project, device: str = DEVICE, **values: Any) -> None:
    """Add a device with a token and a parameter."""
    with open_project(project) as connection:
        create_device(
            connection,
            keys=keyring(),
            **{
                "id": device,
                "name": "Truck",
                "parameters": [{"key": "depot", "value": "North"}],
                **values,
            },
        )


def add_readings(project: Project, count: int, device: str = DEVICE, **values: Any) -> None:
    """Add readings a minute apart."""
    records = [
        {
            "variable": "temperature",
            "value": number / 2,
            "group": f"g{number}",
            "time": START + timedelta(minutes=number),
            **values,
        }
        for number in range(count)
    ]
    with open_project(project) as connection:
        send(connection, device_id=device, records=records)


def run_csv(project: Project, work: str, path: str, device: str = DEVICE, **options: Any) -> Ran:
    """Request a CSV file as a client, and make it."""
    request = CsvRequest.objects.create(
        project=project, work=work, path=path, device=device, **options
    )
    return csv_job.run_csv(request.pk)


def count_rows(project: Project) -> int:
    """Return the device's number of records."""
    with open_project(project) as connection:
        row = connection.execute("SELECT count(*) FROM variable").fetchone()
    return int(row[0]) if row else 0
