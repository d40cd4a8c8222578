"""Identify a process, as distinct from a later one with the same pid."""

import os
import signal
import subprocess
import time
from pathlib import Path


def start_mark(pid: int) -> str | None:
    """Return a process's start time as the system writes it, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        has_proc = Path("/proc/self").exists()
        return None if has_proc else _ps("lstart", pid) or None
    # The name in brackets may contain anything. After it, the first field is the state and the 20th
    # the start time.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def command_line(pid: int) -> str:
    """Return the command line of a process; "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return _ps("command", pid)


def _ps(column: str, pid: int) -> str:
    command = ["ps", "-o", f"{column}=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip()


def end(pid: int, mark: str, first: signal.Signals, *, patience: float) -> None:
    """Ask a process to stop that is not a child; kill it after `patience` s."""
    for signal_, seconds in ((first, patience), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, signal_)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if start_mark(pid) != mark:
                return
            time.sleep(0.05)
