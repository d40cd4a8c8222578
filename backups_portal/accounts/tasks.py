"""Send messages about accounts in a worker."""

from typing import Any

from allauth.account.adapter import get_adapter

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


@app.task(bind=True, max_retries=TRIES)
def send_notice(self: Any, template_prefix: str, email: str, context: dict[str, Any]) -> None:
    """Tell an address what happened to its account."""
    try:
        get_adapter().render_mail(template_prefix, email, context).send()
    except OSError as error:
        log.exception("the mail server takes no messages")
        raise self.retry(countdown=WAIT_SECONDS, exc=error) from error
