"""Hosts that let somebody wait in vain, and are left alone for a while.

A thousand messages to one that does not answer would take ten seconds each from the workers that
take backups. (M. Nygard, Release It!, "Circuit Breaker".)
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from backups_portal.lib import liveness

# A refusal that comes sooner costs nobody much.
PATIENCE_SECONDS = 3.0
# Over before a message that was not sent is tried for the first time again.
PAUSE = timedelta(minutes=1)


class SilentError(OSError):
    """The host was silent a short while ago; fit for a page."""

    def __init__(self) -> None:
        super().__init__("Its server did not answer a short while ago.")


@contextmanager
def unless_silent(host: str) -> Iterator[None]:
    """Ask a host inside, unless it was silent a short while ago.

    Raises:
        SilentError: it was.
    """
    sign = f"host:{host}"
    if liveness.is_in_trouble(sign):
        raise SilentError
    began, is_done = time.monotonic(), False
    try:
        yield
        is_done = True
    finally:
        # However it ended: the time limit of a task may have been first.
        if not is_done and time.monotonic() - began > PATIENCE_SECONDS:
            liveness.note_trouble(sign, PAUSE)
