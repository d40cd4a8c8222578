"""Types of command-line arguments that are times and days."""

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, timedelta

# Leaves room for calculations that add or subtract up to a year.
ROOM = timedelta(days=366)


def moment_argument(text: str) -> datetime:
    """Parse an ISO 8601 date and time, in UTC if it has no offset.

    Raises:
        ArgumentTypeError: the text is not a time, or too close to the limits of `datetime`.
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


def day_argument(text: str) -> date:
    """Read an ISO 8601 date.

    Raises:
        ArgumentTypeError: the text is not a day.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"“{text}” is not a day. Write it as 2026-11-23.") from error
