"""The scan that finds breaches of objectives and stores each once.

Each round runs one query for the objectives for which something changed since they were judged.
Only those are judged, so a round over thousands of projects costs little.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import (
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.loggers import get_logger
from backups_portal.objectives.breach_events import record_met, record_missed
from backups_portal.objectives.breach_rules import Spell
from backups_portal.objectives.models import Breach, Objective
from backups_portal.objectives.objective_verdicts import MEASURED, judge
from backups_portal.projects.models import Project
from backups_portal.projects.shutdown_periods import STARTED, STOPPED
from snapshots.models import Snapshot

log = get_logger(__name__)

BATCH = 500
AT_A_TIME = 2_500
# A measurement may become visible this long after its timestamp, when its transaction commits.
COMMIT = timedelta(minutes=2)
# The clocks of two workers differ by less than this.
AHEAD = timedelta(minutes=15)
HOUR = timedelta(hours=1)
Kind, End = Objective.Kind, Breach.End


def find_breaches(now: datetime) -> int:
    """Record objectives missed, or met again; return how many were judged."""
    # Query once, because it costs as much for a batch as for all. The limit leaves the rest to the
    # next round: if all backups are missing, the tick must not take minutes.
    ids = list(to_judge(now).values_list("pk", flat=True)[:AT_A_TIME])
    return sum(_scan(ids[at : at + BATCH], now) for at in range(0, len(ids), BATCH))


def to_judge(now: datetime) -> QuerySet[Objective]:
    """Select objectives for which something changed since they were judged.

    The least recently judged come first, so that none is starved.
    """
    # This uses the index over stored snapshots.
    newest = Snapshot.objects.good().filter(project=OuterRef("project_id")).order_by("-taken_at")
    measured = Snapshot.objects.filter(
        MEASURED, project=OuterRef("project_id"), proven_at__gt=OuterRef("checked_at") - COMMIT
    )
    rows = Objective.objects.filter(ended_at=None, project__main_database__isnull=False).annotate(
        newest=Subquery(newest.values("taken_at")[:1]),
        stored=Subquery(newest.values("finished_at")[:1]),
        period=ExpressionWrapper(F("target") * Value(HOUR), output_field=DurationField()),
        is_broken=Exists(Breach.objects.filter(objective=OuterRef("pk"), ended_at=None)),
    )
    oldest = now - F("period")
    is_late = Q(newest=None) | Q(newest__lt=oldest)
    has_run_for_long = Q(resumed_at=None) | Q(resumed_at__lt=oldest)
    of_point = Q(kind=Kind.POINT) & (
        Q(stored__gt=F("checked_at"))
        | (is_late & has_run_for_long & Q(is_broken=False))
        | (~Q(newest=None) & Q(newest__gte=oldest, is_broken=True))
    )
    # A new objective is judged by earlier measurements.
    of_time = Q(kind=Kind.TIME) & (Exists(measured) | Q(checked_at=F("began_at")))
    runs = Q(project__state=Project.State.ACTIVE)
    is_stopped = Q(stopped_at__isnull=False)
    changed = runs & (is_stopped | of_point | of_time)
    is_ahead = Q(checked_at__gt=now + AHEAD)
    return rows.filter(changed | (~runs & ~is_stopped) | is_ahead).order_by("checked_at", "pk")


@transaction.atomic
def _scan(ids: Iterable[int], now: datetime) -> int:
    """Judge objectives, skipping those that another scan has locked."""
    rows = Objective.objects.select_for_update(of=("self",), skip_locked=True)
    return bring_up_to_date(rows.filter(pk__in=list(ids), ended_at=None), now)


def bring_up_to_date(rows: QuerySet[Objective], now: datetime) -> int:
    """Judge objectives up to now and store the changes; return their number.

    Call it in a transaction that holds their locks.
    """
    news = _shutdowns(now).filter(project_id=OuterRef("project_id"), at__gt=OuterRef("checked_at"))
    of_rows = rows.select_related("project__main_database").annotate(has_news=Exists(news))
    loaded = list(of_rows.order_by("pk"))
    _forget_future([one for one in loaded if one.checked_at > now + AHEAD], now)
    # Another scan may have judged some as of a later moment.
    found = [one for one in loaded if one.checked_at <= now]
    for one in found:
        if one.has_news:
            _catch_up(one, now)
    running = [one for one in found if one.project.state == Project.State.ACTIVE]
    _stop([one for one in found if one.project.state != Project.State.ACTIVE], now)
    _resume([one for one in running if one.stopped_at], now)
    _judge(running, now)
    return len(found)


def _shutdowns(now: datetime) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(action__in=(STOPPED, STARTED), at__lte=now)


def _catch_up(objective: Objective, now: datetime) -> None:
    """Replay shut-downs and starts, even old ones: beat may have been down."""
    news = _shutdowns(now).filter(project_id=objective.project_id, at__gt=objective.checked_at)
    for event in news.order_by("at", "pk").only("at", "action"):
        if event.action == STOPPED and objective.stopped_at is None:
            _judge([objective], event.at)
            _stop([objective], event.at)
        elif event.action == STARTED and objective.stopped_at:
            _resume([objective], event.at)


def _judge(objectives: Sequence[Objective], now: datetime) -> None:
    judgements = judge(objectives, now)
    _write(objectives, {pk: list(judgement.spells) for pk, judgement in judgements.items()}, now)


def _forget_future(objectives: Sequence[Objective], now: datetime) -> None:
    """Undo judgements of a clock that ran ahead, which would block new ones."""
    if not objectives:
        return
    log.warning("a clock ran ahead", objectives=len(objectives))
    breaches = Breach.objects.filter(objective__in=objectives)
    breaches.filter(began_at__gt=now).delete()
    breaches.filter(ended_at__gt=now).update(ended_at=now)
    for objective in objectives:
        objective.checked_at = now
        for name in ("began_at", "stopped_at", "resumed_at"):
            moment = getattr(objective, name)
            setattr(objective, name, moment and min(moment, now))
        objective.save(update_fields=["checked_at", "began_at", "stopped_at", "resumed_at"])


def _resume(objectives: Sequence[Objective], now: datetime) -> None:
    """Resume measuring from now on."""
    for objective in objectives:
        objective.stopped_at, objective.resumed_at, objective.checked_at = None, now, now
        objective.save(update_fields=["stopped_at", "resumed_at", "checked_at"])


def _stop(objectives: Sequence[Objective], now: datetime) -> None:
    """Stop measuring: nothing is written in a project that is shut down."""
    for objective in objectives:
        objective.stopped_at = objective.stopped_at or objective.project.shut_down_at or now
        open_ones = Breach.objects.filter(objective=objective, ended_at=None)
        open_ones.update(ended_at=objective.stopped_at, end=End.STOPPED)
        objective.save(update_fields=["stopped_at"])


def _write(
    objectives: Sequence[Objective], spells_by_id: dict[int, list[Spell]], now: datetime
) -> None:
    lasting = {
        breach.objective_id: breach
        for breach in Breach.objects.filter(objective__in=objectives, ended_at=None)
    }
    new = []
    for objective in objectives:
        spells = spells_by_id[objective.pk]
        if breach := lasting.get(objective.pk):
            _continue(objective, breach, spells, now)
        new += [_breach(objective, spell) for spell in spells]
    # Insert in bulk: there are many if a whole storage is unreachable.
    for breach in Breach.objects.bulk_create(new):
        _record_beginning(breach)
    judged = Objective.objects.filter(pk__in=[one.pk for one in objectives])
    judged.update(checked_at=now)
    for objective in objectives:
        objective.checked_at = now


def _continue(objective: Objective, breach: Breach, spells: list[Spell], now: datetime) -> None:
    """Extend a breach by the spell that continues it, or end it."""
    ended_at: datetime | None = now
    if spells and spells[0].began_at <= objective.checked_at:
        spell = spells.pop(0)
        breach.worst_seconds = max(breach.worst_seconds, spell.worst.total_seconds())
        ended_at = spell.ended_at
    if ended_at:
        breach.ended_at, breach.end = ended_at, End.MET
    breach.save(update_fields=["worst_seconds", "ended_at", "end"])
    if ended_at:
        _record_end(objective, breach)


def _breach(objective: Objective, spell: Spell) -> Breach:
    return Breach(
        objective=objective,
        began_at=spell.began_at,
        ended_at=spell.ended_at,
        end=End.MET if spell.ended_at else "",
        worst_seconds=spell.worst.total_seconds(),
    )


def _record_beginning(breach: Breach) -> None:
    objective = breach.objective
    record_missed(objective, breach)
    log.warning("objective missed", project=objective.project_id, kind=objective.kind)
    if breach.ended_at:
        _record_end(objective, breach)


def _record_end(objective: Objective, breach: Breach) -> None:
    record_met(objective, breach)
    log.info("objective met again", project=objective.project_id, kind=objective.kind)
