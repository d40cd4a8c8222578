"""Run programs in forks of the demo's process, which share what it has loaded.

Each would otherwise load the portal for itself, which takes 100 MB and some seconds. The programs
are Python modules, as `python -m` runs them.
"""

import gc
import logging
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.utils.log import configure_logging

from backups_portal.demo.child_processes import Child, Program, keep_log, record, tied_to_parent
from backups_portal.demo.data_folder import DataFolder

WAIT_SECONDS = 0.02


class ForkedProcess:
    """A child of this process, with those methods of a Popen that a `Child` calls."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Raises:
            TimeoutExpired: it runs for longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(WAIT_SECONDS)
        return code

    def send_signal(self, signal_: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, signal_)


def prepare_to_fork() -> None:
    """Make what is loaded by now shared, and let go of what a fork must not have."""
    connections.close_all()
    gc.collect()
    gc.freeze()


def fork(program: Program, folder: DataFolder) -> Child:
    """Run a program, whose command is `python -m MODULE …`, in a session with a log of its own."""
    log = keep_log(program, folder)
    tie = tied_to_parent(program.orphan_signal)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("wb") as stream:
        pid = os.fork()
        if pid == 0:
            _become(program, stream.fileno(), tie)
    record(pid, program, folder)
    return Child(program, ForkedProcess(pid), log)


def _become(program: Program, log: int, tie: Callable[[], None]) -> None:
    """Be the program from here on, and never return."""
    code = 1
    try:
        os.setsid()
        tie()
        _forget_the_parent(log)
        os.chdir(program.cwd or Path.cwd())
        os.environ.update(program.environment)
        code = _run_module(program.command)
    except BaseException:
        # This is the end of the process: what is left of the demo's code must not run in it.
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _forget_the_parent(log: int) -> None:
    """Have signals, streams, files and logging as a new process has them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    # Those of the parent may lead elsewhere.
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)


def _run_module(command: Sequence[str]) -> int:
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    return 0
