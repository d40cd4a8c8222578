"""Celery tasks of transfers and CSV files."""

import uuid

from backups_portal.celery import app
from backups_portal.lib.db_time import earlier_now
from backups_portal.lib.leased_job import JobFailedError
from backups_portal.transfers import ledger_retention, transfer_run
from backups_portal.transfers.csv_files import csv_job


@app.task(throws=(JobFailedError,))
def run_transfer(transfer_id: str) -> None:
    """Run the queued work of a transfer."""
    transfer_run.run_transfer(uuid.UUID(transfer_id)).tell_celery()


@app.task(throws=(JobFailedError,))
def run_csv(request_id: str) -> None:
    """Write or read a CSV file that a client requested."""
    csv_job.run_csv(uuid.UUID(request_id)).tell_celery()


@app.task
def forget_transfers() -> None:
    """Drop ledgers after their retention period."""
    ledger_retention.forget_transfers(earlier_now())
