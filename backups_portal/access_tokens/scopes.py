"""Scopes of API tokens."""

from collections.abc import Collection

from django.db import models


class Scope(models.TextChoices):
    """A scope of a token, with its label on the page."""

    PROJECTS_READ = "projects:read", "List projects"
    BACKUPS_READ = "backups:read", "See backups"
    BACKUPS_HOLD = "backups:hold", "See backups, hold and release them"
    RECORDS_READ = "records:read", "Read the records of devices inside backups"
    EVIDENCE_READ = "evidence:read", "Download backup evidence, with who had access"
    RESTORES_READ = "restores:read", "See restores and their cost"
    RESTORES_WRITE = "restores:write", "Create projects from backups (costs money)"
    TRANSFERS_READ = "transfers:read", "See data transfers between projects"
    TRANSFERS_WRITE = "transfers:write", "Move data between projects, and undo it"
    SETTINGS_READ = "settings:read", "See the schedule, retention, checks and recovery objectives"
    SETTINGS_WRITE = (
        "settings:write",
        "Change the schedule, retention, checks and recovery objectives",
    )


def allows(scopes: Collection[str], needed: Scope) -> bool:
    """Tell whether these scopes suffice; any scope of an area allows reading."""
    area, _, verb = needed.partition(":")
    if verb == "read":
        return any(scope.partition(":")[0] == area for scope in scopes)
    return needed in scopes
