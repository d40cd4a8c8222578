"""The workers' Celery application, in which each step may be the last one.

A step is known by what the log says of it. FAULTS names a folder; a file in it that is called after
a row's id and a step says what happens there.
"""

import logging
import os
import signal
import time
from pathlib import Path

from backups_portal.celery import app

__all__ = ["app"]

STEP = "step=%s"
KILL, WAIT = "kill", "wait"
LOGGERS = ("snapshots.taking", "restores.building", "restores.running")


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
        if STEP not in str(record.msg) or not isinstance(record.args, tuple):
            return
        step, row_id = record.args[-2:]
        fault = fault_at(self._folder, row_id, step)
        if not fault.exists() or reached(fault).exists():
            return
        act = fault.read_text()
        reached(fault).touch()
        if act == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        while fault.exists():
            time.sleep(0.02)


if "FAULTS" in os.environ:
    for name in LOGGERS:
        logging.getLogger(name).addHandler(Faults(Path(os.environ["FAULTS"])))
