"""Tasks that send mail about accounts."""

from typing import Any

from allauth.account.adapter import get_adapter
from django.conf import settings

from backups_portal.accounts.password_reset import send_link
from backups_portal.celery import app
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.mail_backend import NOT_ACCEPTED

log = get_logger(__name__)

# Few retries, as people who wait for a link request another one.
TRIES = 3
WAIT_SECONDS = 60
# If a worker waits longer, Redis considers the message lost and delivers it again.
MAX_WAIT_MINUTES = 30


def notice_waits() -> list[int]:
    """Return the waits before retries of a notice, in minutes.

    They are those of notifications, with long ones split.
    """
    waits: list[int] = []
    for minutes in settings.NOTIFICATION_RETRY_MINUTES:
        whole, rest = divmod(minutes, MAX_WAIT_MINUTES)
        waits += [MAX_WAIT_MINUTES] * whole + [rest] * bool(rest)
    return waits


@app.task(bind=True, max_retries=TRIES)
def send_reset_link(self: Any, email: str) -> None:
    """Send a password reset link, made here so that no queued message has it."""
    try:
        is_sent = send_link(email)
    except OSError as error:
        log.exception(NOT_ACCEPTED)
        raise self.retry(countdown=WAIT_SECONDS, exc=error) from error
    log.info("password reset link", sent=is_sent)


@app.task(bind=True)
def send_notice(self: Any, template_prefix: str, email: str, context: dict[str, Any]) -> None:
    """Notify an address about a change to its account."""
    try:
        get_adapter().render_mail(template_prefix, email, context).send()
    except OSError as error:
        log.exception(NOT_ACCEPTED)
        waits, tries = notice_waits(), self.request.retries
        seconds = 60 * waits[tries] if tries < len(waits) else None
        raise self.retry(countdown=seconds, max_retries=len(waits), exc=error) from error
