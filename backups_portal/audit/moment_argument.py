"""A time in the arguments of a command."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

# What is reckoned from it is at most so far away.
ROOM = timedelta(days=366)


def moment_argument(text: str) -> datetime:
    """Read an ISO 8601 date and time; without an offset it is in UTC.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if moment.astimezone(UTC) - ROOM < moment < moment.astimezone(UTC) + ROOM:
            return moment
    except (ValueError, OverflowError):
        pass
    raise ArgumentTypeError(
        f"“{text}” is not a time. Write it like 2026-11-23T03:00 (UTC) or 2026-11-23T03:00+01:00."
    )
