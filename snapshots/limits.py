"""For how long one task may be at work."""

from django.conf import settings

from backups_portal.ui.formats import duration


def limit_seconds() -> int:
    """The limit of a task, and so of each of its statements, in seconds."""
    return int(settings.TASK_LIMIT.total_seconds())


def too_long(what: str) -> str:
    """What an owner is told of a task that was stopped; `what` begins the sentence."""
    return (
        f"{what} took longer than {duration(settings.TASK_LIMIT)} and was stopped. "
        "The operators can raise the limit."
    )
