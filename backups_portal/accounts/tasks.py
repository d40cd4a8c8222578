"""Send the link of a forgotten password in a worker."""

from typing import Any

from backups_portal.accounts.password_reset import send_link
from backups_portal.celery import app
from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)

TRIES = 3
WAIT_SECONDS = 60


@app.task(bind=True, max_retries=TRIES)
def send_reset_link(self: Any, email: str) -> None:
    """Send a link for a new password. It is made here, so that no queued message has it."""
    try:
        is_sent = send_link(email)
    except OSError as error:
        log.exception("the mail server takes no messages")
        raise self.retry(countdown=WAIT_SECONDS, exc=error) from error
    log.info("link for a new password", sent=is_sent)
