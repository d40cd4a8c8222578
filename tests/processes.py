"""Start and end processes for tests and benchmarks."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from backups_portal.demo.process_identity import start_mark
from tests.forked_modules import ModuleProcess

# PostgreSQL's processes need up to this long to notice that the postmaster is gone.
NOTICE_SECONDS = 10.0


def end_group(process: "subprocess.Popen[bytes] | ModuleProcess") -> None:
    """Kill a process that leads a group, with all its processes.

    A regular shutdown takes a worker or a server seconds, and there is nothing to finish.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A process that has only just started leads no group yet.
    process.kill()
    process.wait()


def end_in_order(process: "subprocess.Popen[bytes] | ModuleProcess") -> None:
    """Send SIGTERM as an operator does, and wait for the end."""
    process.terminate()
    try:
        process.wait(30)
    finally:
        end_group(process)


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants; nothing if it has ended."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def kill_tree(pid: int, *, whole: bool = True) -> None:
    """Kill a process by SIGKILL, and wait until all its descendants have ended.

    Args:
        whole: Kill all at once, or only the first, whose end the others have to notice.
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
