"""What an API token may do."""

from collections.abc import Collection

from django.db import models


class Scope(models.TextChoices):
    """One thing that a token may be made for; the label says it on the page."""

    PROJECTS_READ = "projects:read", "See which projects there are"
    BACKUPS_READ = "backups:read", "See backups"
    BACKUPS_HOLD = "backups:hold", "See backups, put them on hold and release them"
    RESTORES_READ = "restores:read", "See restores, and what one costs"
    RESTORES_WRITE = "restores:write", "Make new projects from backups, which costs money"
    TRANSFERS_READ = "transfers:read", "See transfers of data between projects"
    TRANSFERS_WRITE = "transfers:write", "Move data between projects, and back"
    SETTINGS_READ = "settings:read", "See the schedule and the retention period"
    SETTINGS_WRITE = "settings:write", "Change the schedule and the retention period"


def allows(scopes: Collection[str], needed: Scope) -> bool:
    """Whether these scopes are enough: a scope that changes something reads it too."""
    area, _, verb = needed.partition(":")
    if verb == "read":
        return any(scope.partition(":")[0] == area for scope in scopes)
    return needed in scopes
