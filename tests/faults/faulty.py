"""The workers' and beat's Celery application, in which whatever is asked for goes wrong.

FAULTS names a folder. A file in it that is called after a row's id and a step, as the log names
them, says what happens there; the one called STORAGE says what one of three calls to the storage
does. VISIBILITY_SECONDS is after how long Redis gives a message to another worker, and BEAT_SECONDS
how often beat ticks. STORAGE_PATIENCE is for how many seconds a bucket is asked again.
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
    """The file that says what happens at a step."""
    return folder / f"{row_id}.{step}"


def reached(fault: Path) -> Path:
    """The file that says that it did."""
    return fault.with_name(fault.name + ".reached")


class Faults(logging.Handler):
    """Kills the process at a step, or holds it there until the file is gone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        """Called in the thread that has reached the step."""
        values = getattr(record, "values", {})
        # A line about a failure names the step as well.
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
    """A call of obstore's, of which each third one goes wrong while there is a file STORAGE."""
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
        # It says that it wrote.
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
        # How often a worker looks for messages that waited for longer.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
if "BEAT_SECONDS" in os.environ:
    tick = {**app.conf.beat_schedule["tick"], "schedule": float(os.environ["BEAT_SECONDS"])}
    app.conf.beat_schedule = {"tick": tick}
