"""What a proof's checks lead to: updated device names and an audit event."""

from backups_portal.lib.loggers import get_logger
from restores.checks.check_results import bad_in_words, tally_of
from restores.checks.check_run import Checked
from restores.models import Check
from snapshots.models import Snapshot

log = get_logger(__name__)

ACTION = "check.failed"


def settle_checks(snapshot: Snapshot, checked: Checked) -> None:
    """Update device names, and record the checks that did not pass.

    Call it in the transaction that stores the results.
    """
    checks = Check.objects.filter(project=snapshot.project_id)
    for device_id, name in checked.names.items():
        checks.filter(device_id=device_id).exclude(device_name=name).update(device_name=name)
    tally = tally_of(checked.results)
    if tally.is_clean:
        return
    snapshot.record(
        ACTION,
        checks=str(tally),
        failed=tally.failed,
        not_run=tally.not_run,
        reason=bad_in_words(checked.results),
    )
    log.warning("%s", tally, snapshot=snapshot.pk, project=snapshot.project_id)
