"""Post a signed webhook, and ping a heartbeat."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from django.conf import settings
from django.utils import timezone

from backups_portal.lib import safe_http
from backups_portal.lib.circuit_breaker import unless_silent
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.errors import UndeliveredError, UnwantedError
from backups_portal.notifications.models import Delivery, NotificationSettings
from backups_portal.notifications.webhook_signature import message_id, signed_headers

log = get_logger(__name__)

# Long enough for a receiver that does its work before it answers, yet no worker waits for long.
SECONDS = 10.0
AGENT = "BackupsPortal"
# One project could use up a limit that all share, so each backs off separately instead: a thousand
# webhooks that hang occupy twenty workers at most, not a hundred and sixty.
MAX_PAUSE = timedelta(minutes=8)
# Statuses with which a receiver may say when to retry (`Retry-After`).
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
# More digits of seconds than this are treated as an error.
MAX_DIGITS = 9


def post_webhook(delivery: Delivery, chosen: NotificationSettings) -> None:
    """Post a message to the project's webhook; raises as `delivery.send` does."""
    if not (url := chosen.webhook_url):
        raise UnwantedError("The webhook was removed.")
    content = json.dumps(delivery.message, ensure_ascii=False, separators=(",", ":"))
    signed = signed_headers(chosen.webhook_secret, message_id(delivery.pk), content, timezone.now())
    _ask(delivery, "POST", url, {"Content-Type": "application/json", **signed}, content.encode())


def ping_heartbeat(delivery: Delivery, chosen: NotificationSettings) -> None:
    """Request the project's heartbeat URL; raises as `delivery.send` does."""
    if not (url := chosen.heartbeat_url):
        raise UnwantedError("The heartbeat was removed.")
    _ask(delivery, "GET", url, {}, b"")


def _ask(
    delivery: Delivery, method: str, url: str, headers: dict[str, str], content: bytes
) -> None:
    try:
        host = safe_http.host_of(url)
        # A webhook that hangs must not stop another project's on the same host.
        purpose = f"{delivery.channel}:{delivery.project_id}"
        with unless_silent(purpose, host, longest=MAX_PAUSE):
            answer = safe_http.send(
                method,
                url,
                headers={"User-Agent": AGENT, **headers},
                content=content,
                seconds=SECONDS,
                to_private=settings.WEBHOOK_PRIVATE_ADDRESSES,
            )
    except safe_http.OutgoingError as error:
        raise UndeliveredError(str(error)) from error
    log.info("receiver answered", delivery=delivery.pk, host=host, status=answer.status)
    _check_taken(answer)


def _check_taken(answer: safe_http.Answer) -> None:
    status = answer.status
    if 300 <= status < 400:
        raise UndeliveredError(f"It answered {status}: redirects are not followed.")
    if not 200 <= status < 300:
        then = _parse_retry_after(answer.retry_after, timezone.now()) if status in BUSY else None
        raise UndeliveredError(f"It answered {status}.", retry_at=then)


def _parse_retry_after(text: str, now: datetime) -> datetime | None:
    """Parse a `Retry-After`, in seconds or as a date; None if it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return now + timedelta(seconds=int(text))
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)
