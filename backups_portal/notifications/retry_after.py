"""When a receiver that is busy wants to be asked again (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# A longer wait is taken for an error.
MAX_DIGITS = 9


def parse_retry_after(text: str, now: datetime) -> datetime | None:
    """Read the header `Retry-After`, in seconds or as a date; None if it says neither."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return now + timedelta(seconds=int(text))
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)
