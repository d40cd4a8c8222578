"""Receivers that let a worker wait in vain, and are left alone for a while.

A thousand messages to a server that does not answer would take ten seconds each from the workers
that take backups. (M. Nygard, Release It!, "Circuit Breaker".)
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery.exceptions import SoftTimeLimitExceeded

from backups_portal.lib import liveness
from backups_portal.lib.safe_http import OutgoingError
from backups_portal.notifications.errors import UndeliveredError

# A refusal that comes sooner costs no worker much.
PATIENCE_SECONDS = 3.0
# Over before a message that was not sent is tried for the first time again.
PAUSE = timedelta(minutes=1)
SILENT = "Its server did not answer a short while ago."


@contextmanager
def unless_silent(host: str) -> Iterator[None]:
    """Ask a host inside, unless it was silent a short while ago.

    Raises:
        UndeliveredError: it was; what is raised inside goes on.
    """
    sign = f"receiver:{host}"
    if liveness.is_in_trouble(sign):
        raise UndeliveredError(SILENT)
    began = time.monotonic()
    try:
        yield
    except (UndeliveredError, OutgoingError, SoftTimeLimitExceeded):
        if time.monotonic() - began > PATIENCE_SECONDS:
            liveness.note_trouble(sign, PAUSE)
        raise
