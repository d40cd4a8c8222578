"""Requests for evidence by pages, the API and commands, with audit events."""

from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Min

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.evidence.evidence_document import payload_of
from backups_portal.evidence.evidence_key import signing_key
from backups_portal.evidence.evidence_period import (
    Period,
    check_period,
    quarter_days,
    quarter_of,
)
from backups_portal.evidence.evidence_report import make_report
from backups_portal.evidence.evidence_scope import Scope
from backups_portal.evidence.signed_envelope import seal_evidence
from backups_portal.lib.bulkhead import Bulkhead
from backups_portal.lib.limits import Limit
from backups_portal.projects.due_times import local_date
from backups_portal.projects.models import Membership, Project
from snapshots.models import Snapshot

# A file takes much memory, so only one is made at a time; other pages are not affected.
MAKERS = Bulkhead(running=1, waiting=3, seconds=10)
# Views of a period are recorded at most once in a quarter of an hour.
VIEW_RECORDS = Limit("evidence-viewed", tries=1, seconds=15 * 60)


@dataclass(frozen=True)
class EvidenceFile:
    """Signed evidence, and a name for its file."""

    name: str
    members: dict[str, str]


def period_of(project: Project, first: date | None, last: date | None, *, now: datetime) -> Period:
    """Return the period between two days; by default, the current quarter.

    If only one day is given, its quarter supplies the other: the period runs from the day to the
    quarter's end, or from the quarter's beginning to the day.

    Raises:
        PeriodRefusedError: there is no evidence for it.
    """
    zone = project.main_database.backup_time_zone
    today = local_date(now, zone)
    begin, end = quarter_days(*quarter_of(first or last or today))
    return check_period(
        first or begin,
        last or end,
        zone=zone,
        today=today,
        founded=founded_on(project),
    )


def founded_on(project: Project) -> date:
    """Return the day of a project's creation, or that of an older backup.

    A rebuilt catalogue has backups that are older than its row of the project.
    """
    created = local_date(project.created_at, project.main_database.backup_time_zone)
    oldest = Snapshot.objects.filter(project=project).aggregate(day=Min("local_date"))["day"]
    return min(created, oldest) if oldest else created


def owner_ids(project: Project) -> list[int]:
    """Return the ids of a project's owners, who may read an operator's file."""
    owned = Membership.objects.filter(project=project, role=Membership.Role.OWNER)
    return list(owned.values_list("account_id", flat=True))


def make_file(scope: Scope, *, actor: Account | None, made_by: str) -> EvidenceFile:
    """Gather, sign and record a file of evidence.

    Raises:
        FullError: too many files are being made.
    """
    with MAKERS.entered():
        payload = payload_of(make_report(scope), made_by=made_by)
        members = seal_evidence(payload, signing_key())
    _record("evidence.downloaded", scope, actor)
    return EvidenceFile(f"evidence-{scope.project.slug}-{scope.period.file_name}.json", members)


def note_look(scope: Scope, actor: Account) -> None:
    """Record that an account views the evidence of a period."""
    if not VIEW_RECORDS.take(f"{actor.pk} {scope.project.pk} {scope.period.file_name}"):
        _record("evidence.viewed", scope, actor)


def _record(action: str, scope: Scope, actor: Account | None) -> None:
    period = scope.period
    record(
        action=action,
        actor=actor,
        project=scope.project,
        subject=f"Backup evidence, {period.name}",
        details={"first_day": str(period.first), "last_day": str(period.last)},
    )
