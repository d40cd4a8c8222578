"""The workers' and beat's Celery application with injected faults.

FAULTS names a folder. A file in it that is named after a row's id and a step, as the log spells
them, contains the fault of this step; the one called STORAGE contains the fault of every third call
to the storage. VISIBILITY_SECONDS is the time after which Redis redelivers a message, and
BEAT_SECONDS the interval of beat's ticks. STORAGE_PATIENCE is the seconds for retries of a bucket.
"""

import itertools
import logging
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import GenericError

from backups_portal.celery import app
from snapshots.engine import bucket_settings

__all__ = ["app"]

KILL, WAIT = "kill", "wait"
LOGGERS = ("backups_portal.lib.leased_job",)
STORAGE, FAILS, HALVES = "storage", "fails", "halves"
CALLS = ("put", "get", "list", "delete")


def fault_at(folder: Path, row_id: object, step: object) -> Path:
    """Return the file of a step's fault."""
    return folder / f"{row_id}.{step}"


def reached(fault: Path) -> Path:
    """Return the file that marks a fault as reached."""
    return fault.with_name(fault.name + ".reached")


class Faults(logging.Handler):
    """Kills the process at a step, or holds it there until the file is removed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        """Run a step's fault in the thread that has reached it."""
        values = getattr(record, "values", {})
        # A failure's log line names the step as well.
        if "step" not in values or "reason" in values:
            return
        name = record.getMessage().partition(" ")[0]
        fault = fault_at(self._folder, values[name], values["step"])
        if not fault.exists() or reached(fault).exists():
            return
        act = fault.read_text()
        reached(fault).touch()
        if act == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        while fault.exists():
            time.sleep(0.02)


def broken(folder: Path, name: str) -> Callable[..., Any]:
    """Return a call of obstore of which every third one fails while a file STORAGE exists."""
    call, fault, calls = getattr(obstore, name), folder / STORAGE, itertools.count(1)

    def made(*arguments: Any, **options: Any) -> Any:
        if not fault.exists() or next(calls) % 3:
            return call(*arguments, **options)
        if fault.read_text() == FAILS:
            reached(fault_at(folder, STORAGE, name)).touch()
            raise GenericError("the storage does not feel well")
        if name != "put":
            return call(*arguments, **options)
        reached(fault_at(folder, STORAGE, name)).touch()
        # It reports success.
        store, key, content = arguments
        return call(store, key, content[: len(content) // 2], **options)

    return made


if "FAULTS" in os.environ:
    for name in LOGGERS:
        logging.getLogger(name).addHandler(Faults(Path(os.environ["FAULTS"])))
    for name in CALLS:
        setattr(obstore, name, broken(Path(os.environ["FAULTS"]), name))
if "STORAGE_PATIENCE" in os.environ:
    retries = {"retry_timeout": timedelta(seconds=int(os.environ["STORAGE_PATIENCE"]))}
    bucket_settings.from_url = partial(bucket_settings.from_url, retry_config=retries)
if "VISIBILITY_SECONDS" in os.environ:
    app.conf.broker_transport_options = {
        "visibility_timeout": int(os.environ["VISIBILITY_SECONDS"]),
        # The intervals at which a worker looks for messages that are due for redelivery.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
if "BEAT_SECONDS" in os.environ:
    tick = {**app.conf.beat_schedule["tick"], "schedule": float(os.environ["BEAT_SECONDS"])}
    app.conf.beat_schedule = {"tick": tick}
