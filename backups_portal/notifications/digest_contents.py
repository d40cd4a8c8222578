"""The contents of a weekly digest: words and figures for the audit log."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta

from backups_portal.billing.statement import cost_between
from backups_portal.evidence.backup_days import Kind
from backups_portal.evidence.evidence_period import Period
from backups_portal.evidence.evidence_report import make_report
from backups_portal.evidence.evidence_scope import Scope
from backups_portal.lib.json_types import JsonObject
from backups_portal.objectives.breach_events import moment_of
from backups_portal.objectives.standings import MISSED, Standing, standings_of
from backups_portal.overview.attention import attention_of
from backups_portal.projects.due_times import local_date, next_run
from backups_portal.projects.models import Project
from backups_portal.ui import formats
from restores.backup_list import describe, listed
from restores.models import Proof
from snapshots.models import Snapshot
from snapshots.reports.database_growth import growth_of
from snapshots.reports.recovery_readiness import readiness_of

DAY = timedelta(days=1)
MONDAY = 0
# In the project's time zone, before work begins.
TIME = time(7)
# Backups in which to look for what needs attention, as on the project's overview.
LATEST_BACKUPS = 3


def next_digest(now: datetime, zone: str) -> datetime:
    """Return the first Monday morning in a zone after a moment, in UTC."""
    moment = next_run(now, TIME, zone)
    while local_date(moment, zone).weekday() != MONDAY:
        moment = next_run(moment, TIME, zone)
    return moment


def week_before(now: datetime, zone: str) -> Period:
    """Return the last whole week, Monday to Sunday, of a zone's calendar."""
    today = local_date(now, zone)
    monday = today - today.weekday() * DAY
    return Period(monday - 7 * DAY, monday - DAY, zone)


def digest_of(project: Project, now: datetime) -> JsonObject:
    """Describe the last week of a project.

    Returns:
        `period`, and `facts` and `attention`, which are lists of pairs of texts.
    """
    week = week_before(now, project.main_database.backup_time_zone)
    standings = standings_of(project, now)
    return {
        "period": f"{formats.day(week.first)} to {formats.day(week.last)}",
        "facts": [
            ["Backups", _backups(project, week, now)],
            ["Proofs", _proofs(project, week)],
            ["Size of the rows", _growth(project, week)],
            ["Cost", _cost(project, week)],
            *([one.objective.get_kind_display(), _objective(one)] for one in standings),
        ],
        "attention": [list(pair) for pair in _attention(project, standings, now)],
    }


def digest_as_text(details: JsonObject) -> str:
    """Write a digest as lines of text."""
    facts = [f"{name}: {value}" for name, value in details["facts"]]
    attention = [f"- {title}. {text}".rstrip() for title, text in details["attention"]]
    heading = "Needs attention:" if attention else "Nothing needs attention."
    return "\n".join([*facts, "", heading, *attention])


def _backups(project: Project, week: Period, now: datetime) -> str:
    """Count the results of the week's days, as its evidence does."""
    days = make_report(Scope(project, week, now, reader_ids=())).days
    stored = sum(day.backup is not None and day.backup.was_stored for day in days)
    bad = [day for day in days if day.kind == Kind.MISSED]
    missed = sum(day.backup is None for day in bad)
    parts = [f"{stored} taken"]
    if failed := len(bad) - missed:
        parts.append(f"{failed} failed")
    parts.append(f"{missed} missed" if missed else "none missed")
    return ", ".join(parts)


def _proofs(project: Project, week: Period) -> str:
    ended = Proof.objects.filter(
        snapshot__project=project, finished_at__gte=week.begins_at, finished_at__lt=week.ends_at
    )
    found = Counter(ended.order_by().values_list("state", flat=True))
    passed, failed = found[Proof.State.PASSED], found[Proof.State.FAILED]
    if not passed and not failed:
        off = project.main_database.proof_policy == "off"
        return "none; proofs are off" if off else "none"
    return f"{passed} passed, {failed or 'none'} failed"


def _growth(project: Project, week: Period) -> str:
    sizes = growth_of(project).sizes
    now = [size for taken_at, size in sizes if taken_at < week.ends_at]
    before = [size for taken_at, size in sizes if taken_at < week.begins_at]
    if not now:
        return "not measured yet"
    size = formats.data_size(now[-1])
    if not before:
        return size
    change = now[-1] - before[-1]
    if not change:
        return f"{size}, as a week before"
    more = "more" if change > 0 else "less"
    return f"{size}, {formats.data_size(abs(change))} {more} than a week before"


def _cost(project: Project, week: Period) -> str:
    totals = cost_between(project.pk, week.begins_at, week.ends_at)
    return ", ".join(formats.money(one.amount, one.currency) for one in totals) or "nothing"


def _objective(standing: Standing) -> str:
    text = f"{standing.label.lower()} ({standing.objective.target_name})"
    if standing.state != MISSED or standing.since is None:
        return text
    return f"{text} since {moment_of(standing.since, standing.objective)}"


def _attention(
    project: Project, standings: Sequence[Standing], now: datetime
) -> Iterator[tuple[str, str]]:
    """Yield a title and a text for everything that needs attention now."""
    newest = Snapshot.objects.filter(project=project).newest_good()
    latest = list(listed(project)[:LATEST_BACKUPS])
    rows = describe(latest, newest=newest, project=project, now=now)
    readiness = readiness_of(project, now)
    if days := readiness.unprotected:
        names = ", ".join(f"{cell.name} {cell.kind}" for cell in days[:LATEST_BACKUPS])
        if len(days) > LATEST_BACKUPS:
            names += f" and {len(days) - LATEST_BACKUPS:,} more"
        yield f"No good backup since {len(days)} day{'s' if len(days) > 1 else ''}", f"{names}."
    for line in attention_of(rows, readiness, standings):
        yield line.title, line.text
