"""The time limit of a task."""

from django.conf import settings

from backups_portal.ui.formats import duration


def limit_seconds() -> int:
    """Return the limit of a task and of its statements, in seconds."""
    return int(settings.TASK_LIMIT.total_seconds())


def too_long(what: str) -> str:
    """Tell an owner that a task was stopped; `what` begins the sentence."""
    return (
        f"{what} took longer than {duration(settings.TASK_LIMIT)} and was stopped. "
        "An operator can raise the limit."
    )
