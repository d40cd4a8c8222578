"""Which records an immutable device keeps."""

from datetime import datetime, timedelta

MONTHS = {"month": 1, "quarter": 3}


def kept_since(now: datetime, period: str, retention: int) -> datetime:
    """Return the begin of the oldest chunk that a device keeps.

    Args:
        now: In UTC.
        period: day, week, month or quarter.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return today - timedelta(days=retention)
    if period == "week":
        return today - timedelta(days=today.weekday(), weeks=retention)
    length = MONTHS[period]
    month = today.year * 12 + (today.month - 1) // length * length - retention * length
    return today.replace(year=month // 12, month=month % 12 + 1, day=1)
