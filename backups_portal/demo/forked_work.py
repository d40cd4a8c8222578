"""Run work in a separate process, which frees its memory when it ends."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from django.db import connections

from backups_portal.demo.child_processes import tied_to_parent
from backups_portal.demo.errors import DemoError, system_error
from backups_portal.lib import command_errors


def run_forked(work: Callable[[], None]) -> None:
    """Run work in a fork, and wait for it.

    If forking is not safe, as on macOS, it runs in this process.

    Raises:
        DemoError: the work raised it, the disk or a database failed, or its process died.
    """
    if sys.platform != "linux":
        with _explained():
            work()
        return
    # Processes must not share a connection.
    connections.close_all()
    fork = get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process: Any = fork.Process(target=_work, args=(work, theirs, tied_to_parent(signal.SIGKILL)))
    process.start()
    theirs.close()
    try:
        process.join()
    finally:
        # If the demo is stopped, stop the work too; the next start does it again.
        process.kill()
        process.join()
    with suppress(EOFError):
        raise DemoError(ours.recv())
    if process.exitcode:
        raise DemoError(f"The demo could not be prepared (exit code {process.exitcode}).")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of the disk and the database into sentences."""
    try:
        yield
    except OSError as error:
        raise DemoError(system_error(error)) from error
    except command_errors.ERRORS as error:
        if sentence := command_errors.in_a_sentence(error):
            raise DemoError(sentence) from error
        raise


def _work(work: Callable[[], None], report: Connection, tie: Callable[[], None]) -> None:
    tie()
    # The demo receives the same signals, and kills this process.
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    try:
        with _explained():
            work()
    except DemoError as error:
        report.send(str(error))
    finally:
        connections.close_all()
