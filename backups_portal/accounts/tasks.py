"""Send messages about accounts in a worker."""

from typing import Any

from allauth.account.adapter import get_adapter
from django.conf import settings

from backups_portal.accounts.password_reset import send_link
from backups_portal.celery import app
from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)

# People who wait for a link ask for another one.
TRIES = 3
WAIT_SECONDS = 60
# A worker that waits longer gets the same message again from Redis, which takes it for lost.
LONGEST_WAIT_MINUTES = 30


def notice_waits() -> list[int]:
    """Return after how many minutes each a notice is sent again: as long as a notification."""
    waits: list[int] = []
    for minutes in settings.NOTIFICATION_RETRY_MINUTES:
        whole, rest = divmod(minutes, LONGEST_WAIT_MINUTES)
        waits += [LONGEST_WAIT_MINUTES] * whole + [rest] * bool(rest)
    return waits


@app.task(bind=True, max_retries=TRIES)
def send_reset_link(self: Any, email: str) -> None:
    """Send a link for a new password. It is made here, so that no queued message has it."""
    try:
        is_sent = send_link(email)
    except OSError as error:
        log.exception("the mail server takes no messages")
        raise self.retry(countdown=WAIT_SECONDS, exc=error) from error
    log.info("link for a new password", sent=is_sent)


@app.task(bind=True)
def send_notice(self: Any, template_prefix: str, email: str, context: dict[str, Any]) -> None:
    """Tell an address what happened to its account."""
    try:
        get_adapter().render_mail(template_prefix, email, context).send()
    except OSError as error:
        log.exception("the mail server takes no messages")
        waits, tries = notice_waits(), self.request.retries
        seconds = 60 * waits[tries] if tries < len(waits) else None
        raise self.retry(countdown=seconds, max_retries=len(waits), exc=error) from error
