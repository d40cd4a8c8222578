"""What accounts leave to the workers."""

import logging
from typing import Any

from backups_portal.accounts.resetting import send_link
from backups_portal.celery import app

log = logging.getLogger(__name__)

TRIES = 3
WAIT_SECONDS = 60


@app.task(bind=True, max_retries=TRIES)
def send_reset_link(self: Any, email: str) -> None:
    """Send a link for a new password; the link itself is in no message of the queue."""
    try:
        is_sent = send_link(email)
    except OSError as error:
        log.exception("the mail server takes no messages")
        raise self.retry(countdown=WAIT_SECONDS, exc=error) from error
    log.info("link for a new password sent=%s", is_sent)
