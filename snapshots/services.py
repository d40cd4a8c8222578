"""The verbs of this app, each written in a module of its own."""

from snapshots.backup_settings import change_backup_settings
from snapshots.expiry import preview_retention, prune, prune_each, prune_project
from snapshots.holds import place_hold, release_hold
from snapshots.orphans import sweep_project
from snapshots.queueing import heal, queue_due
from snapshots.taking import take

__all__ = [
    "change_backup_settings",
    "heal",
    "place_hold",
    "preview_retention",
    "prune",
    "prune_each",
    "prune_project",
    "queue_due",
    "release_hold",
    "sweep_project",
    "take",
]
