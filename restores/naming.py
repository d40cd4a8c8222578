"""Names for new projects."""

from itertools import count

from backups_portal.accounts.models import Account
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.services import NAME_LENGTH, check_name
from snapshots.models import Snapshot
from snapshots.schedule import local_date


def suggest_name(snapshot: Snapshot, owner: Account) -> str:
    """A name that says where the project came from, and that the owner can use."""
    project = snapshot.project
    day = local_date(
        snapshot.taken_at or snapshot.scheduled_for, project.main_database.backup_time_zone
    )
    for number in count(1):
        ending = f" restored {day}" + (f" ({number})" if number > 1 else "")
        name = project.name[: NAME_LENGTH - len(ending)].rstrip() + ending
        try:
            return check_name(name, owner)
        except NameRefusedError:
            continue
    raise AssertionError("numbers do not end")
