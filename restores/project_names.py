"""Names for new projects."""

from itertools import count

from backups_portal.accounts.models import Account
from backups_portal.projects.due_times import local_date
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.project_creation import NAME_LENGTH, check_name
from backups_portal.ui.visible_names import seen_name
from restores.models import Restore
from snapshots.models import Snapshot


def suggest_name(snapshot: Snapshot, owner: Account) -> str:
    """Suggest a free name that says where the project came from."""
    project = snapshot.project
    asked = Restore.objects.filter(requested_by=owner, state__in=Restore.UNFINISHED)
    taken = {name.lower() for name in asked.values_list("name", flat=True)}
    day = local_date(
        snapshot.taken_at or snapshot.scheduled_for, project.main_database.backup_time_zone
    )
    for number in count(1):
        ending = f" restored {day}" + (f" ({number})" if number > 1 else "")
        name = seen_name(project.name)[: NAME_LENGTH - len(ending)].rstrip() + ending
        if name.lower() in taken:
            continue
        try:
            return check_name(name, owner)
        except NameRefusedError:
            continue
    raise AssertionError("numbers do not end")
