"""Run programs in forks of the demo's process, sharing what it loaded.

Otherwise each program would load the portal itself, which takes 100 MB and some seconds. Programs
are Python modules, run as `python -m` runs them.
"""

import gc
import logging
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.utils.log import configure_logging

from backups_portal.celery import app
from backups_portal.demo.child_processes import (
    Child,
    ForkedProcess,
    Program,
    keep_log,
    record,
    tied_to_parent,
)
from backups_portal.demo.data_folder import DataFolder


def prepare_to_fork() -> None:
    """Load the portal, for forks to share; close database connections."""
    level = logging.getLogger().level
    import_module(settings.ROOT_URLCONF)
    # This sets Django up again, and with it the log level.
    app.loader.import_default_modules()
    logging.getLogger().setLevel(level)
    connections.close_all()
    gc.collect()
    gc.freeze()


def fork(program: Program, folder: DataFolder) -> Child:
    """Fork a program (`python -m MODULE …`) with its own session and log."""
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
    """Turn this process into the program; never return."""
    code = 1
    try:
        os.setsid()
        tie()
        _forget_the_parent(log)
        os.chdir(program.cwd or Path.cwd())
        os.environ.update(program.environment)
        code = _run_module(program.command)
    except BaseException:
        # The demo's own code further up the stack must not run in this process.
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _forget_the_parent(log: int) -> None:
    """Reset signals, streams, files and logging to those of a new process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    # The parent's streams may write elsewhere.
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
