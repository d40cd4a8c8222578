"""Processes that tests and benchmarks start, and how they end."""

import os
import signal
import subprocess
from contextlib import suppress


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that leads a group, with all its processes.

    Ending by itself takes a worker or a server seconds, and nothing is left to be finished.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_in_order(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, as an operator does, and wait until it has."""
    process.terminate()
    try:
        process.wait(30)
    finally:
        end_group(process)
