"""Processes that tests and benchmarks start, and how they end."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from backups_portal.demo.process_identity import start_mark
from tests.forked_modules import ModuleProcess

# How long PostgreSQL's processes may take to notice that the first of them is gone.
NOTICE_SECONDS = 10.0


def end_group(process: "subprocess.Popen[bytes] | ModuleProcess") -> None:
    """Kill a process that leads a group, with all its processes.

    Ending by itself takes a worker or a server seconds, and nothing is left to be finished.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # One that has only begun leads no group yet.
    process.kill()
    process.wait()


def end_in_order(process: "subprocess.Popen[bytes] | ModuleProcess") -> None:
    """Ask a process to end, as an operator does, and wait until it has."""
    process.terminate()
    try:
        process.wait(30)
    finally:
        end_group(process)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it; none where it is gone."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def kill_tree(pid: int, *, whole: bool = True) -> None:
    """Kill a process by SIGKILL, and wait until all that descend from it are gone.

    Args:
        whole: All of them at once, or the first only; the others are to notice.
    """
    marks = {process.pid: start_mark(process.pid) for process in tree(pid)}
    _kill(marks if whole else [pid])
    deadline = time.monotonic() + NOTICE_SECONDS
    while alive := [pid for pid, mark in marks.items() if mark and start_mark(pid) == mark]:
        if time.monotonic() > deadline:
            _kill(alive)
        time.sleep(0.05)


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
