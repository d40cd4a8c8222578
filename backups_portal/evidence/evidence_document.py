"""The evidence of a period as JSON: UTC times, days in the project's zone."""

from collections.abc import Iterator
from datetime import timedelta

import orjson
from django.conf import settings

from backups_portal.audit.audit_log import in_words
from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.backup_days import DayBackup, DayLine, Kind
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.evidence_report import MAX_ROWS, Report
from backups_portal.evidence.evidence_summary import summary
from backups_portal.evidence.project_events import EventSection
from backups_portal.evidence.recovery_measurements import Gap, Measurement
from backups_portal.evidence.signed_envelope import FORMAT_NAME, VERSION, fingerprint
from backups_portal.lib.json_types import JsonObject

OPTIONS = orjson.OPT_UTC_Z


def payload_of(report: Report, *, made_by: str) -> bytes:
    """Write the document of a report, to be signed.

    Args:
        made_by: The account or the operator that requested it.
    """
    members = {
        **_about(report, made_by),
        "summary": _summary(report),
        "settings": _settings(report),
        "days": [_day(line) for line in report.days],
        "restores": _restores(report),
        "recovery_time": _recovery_time(report),
        "recovery_point": _recovery_point(report),
        "recovery_objectives": _objectives(report),
        "holds_in_force": [
            {"day": hold.day, "held_by": hold.who, "since": hold.since} for hold in report.holds_now
        ],
        "places": _places(report),
        "audit_seal": _seal(report),
    }
    # Append to one buffer: a list of pieces would keep each row as an object until the end.
    payload = bytearray()
    for piece in _pieces(members, report):
        payload += piece
    return bytes(payload)


def _pieces(members: JsonObject, report: Report) -> Iterator[bytes]:
    """Write the short members at once, and the long lists row by row."""
    yield orjson.dumps(members, option=OPTIONS)[:-1]
    sections = {"holds": report.holds, "deletions": report.deletions, "access": report.access}
    for name, section in sections.items():
        yield b',"%s":' % name.encode()
        yield from _section(section)
    yield b"}"


def _section(section: EventSection) -> Iterator[bytes]:
    head = {
        "total": section.total,
        "listed": min(section.total, MAX_ROWS),
        "by_action": dict(section.counts),
    }
    yield orjson.dumps(head)[:-1] + b',"rows":['
    for number, event in enumerate(section.rows(MAX_ROWS)):
        yield (b"," if number else b"") + orjson.dumps(_event(event), option=OPTIONS)
    yield b"]}"


def _event(event: AuditEvent) -> JsonObject:
    return {
        "at": event.at,
        "action": event.action,
        "what": in_words(event.action),
        "who": event.who or "system",
        "address": event.address,
        "subject": event.subject,
        "details": event.details,
    }


def _about(report: Report, made_by: str) -> JsonObject:
    scope = report.scope
    project, period = scope.project, scope.period
    return {
        "format": FORMAT_NAME,
        "version": VERSION,
        "title": scope.title,
        "as_of": scope.now,
        "made_by": made_by,
        "portal": settings.PORTAL_URL,
        "signed_by": fingerprint(public_key()),
        "project": {
            "id": project.pk,
            "name": project.name,
            "slug": project.slug,
            "state": project.state,
            "created_at": project.created_at,
            "shut_down_at": project.shut_down_at,
        },
        "period": {
            "name": period.name,
            "from": period.first,
            "to": period.last,
            "time_zone": period.zone,
            "begins_at": period.begins_at,
            "ends_at": period.ends_at,
            "is_over": scope.is_over,
        },
    }


def _summary(report: Report) -> JsonObject:
    counts = report.counts
    return {
        "text": summary(report),
        "days_due": report.due,
        "with_backup": report.good,
        "proven": counts.get(Kind.PROVEN, 0),
        "failed_proof": counts.get(Kind.FAILED_PROOF, 0),
        "missed": counts.get(Kind.MISSED, 0),
        "missed_by_cause": dict(report.causes),
        "under_way": counts.get(Kind.COMING, 0),
        "median_recovery_seconds": _seconds(report.recovery_time.median),
        "worst_recovery_seconds": report.recovery_time.worst and report.recovery_time.worst.seconds,
        "median_gap_seconds": _seconds(report.recovery_point.median),
        "worst_gap_seconds": report.recovery_point.worst
        and _seconds(report.recovery_point.worst.length),
    }


def _settings(report: Report) -> JsonObject:
    history = report.settings
    return {
        "at_start": dict(history.at_start),
        "at_end": dict(history.at_end),
        "changes_total": history.total,
        "changes": [
            {"at": one.at, "who": one.who or "system", "old": dict(one.old), "new": dict(one.new)}
            for one in history.changes
        ],
    }


def _day(line: DayLine) -> JsonObject:
    return {
        "day": line.day,
        "result": line.kind,
        "cause": line.cause,
        "reason": line.reason,
        "backup": _backup(line.backup) if line.backup else None,
    }


def _backup(backup: DayBackup) -> JsonObject:
    same = (
        *("id", "state", "scheduled_for", "taken_at", "finished_at", "rows", "stored_bytes"),
        *("manifest_sha256", "locked_until", "verdict", "verdict_reason", "proven_at"),
        *("restore_seconds", "is_held", "copied_at"),
    )
    return {
        **{name: getattr(backup, name) for name in same},
        "copy": backup.copy_state,
        "deleted_at": backup.removed_at,
    }


def _restores(report: Report) -> JsonObject:
    return {
        "total": report.restores.total,
        "listed": len(report.restores.lines),
        "rows": [
            {
                "id": one.id,
                "day": one.day,
                "state": one.state,
                "new_project": one.name,
                "requested_by": one.requested_by,
                "requested_at": one.requested_at,
                "started_at": one.started_at,
                "finished_at": one.finished_at,
                "seconds": _seconds(one.took),
                "was_warm": one.was_warm,
                "reason": one.reason,
            }
            for one in report.restores.lines
        ],
    }


def _recovery_time(report: Report) -> JsonObject:
    found = report.recovery_time
    return {
        "median_seconds": _seconds(found.median),
        "worst": _measurement(found.worst) if found.worst else None,
        "measurements": [_measurement(one) for one in found.measurements],
    }


def _measurement(one: Measurement) -> JsonObject:
    return {"by": one.by, "day": one.day, "at": one.at, "seconds": one.seconds}


def _recovery_point(report: Report) -> JsonObject:
    found = report.recovery_point
    return {
        "median_seconds": _seconds(found.median),
        "worst": _gap(found.worst) if found.worst else None,
        "gaps": len(found.gaps),
    }


def _objectives(report: Report) -> list[JsonObject]:
    breaches: dict[int, list[JsonObject]] = {}
    for breach in report.objectives.breaches:
        breaches.setdefault(breach.objective_id, []).append(
            {
                "began_at": breach.began_at,
                "ended_at": breach.ended_at,
                "end": breach.end or None,
                "worst_seconds": breach.worst_seconds,
            }
        )
    return [
        {
            "kind": one.kind,
            "at_most_seconds": _seconds(one.limit),
            "began_at": one.began_at,
            "ended_at": one.ended_at,
            "breaches": breaches.get(one.pk, []),
        }
        for one in report.objectives.objectives
    ]


def _gap(gap: Gap) -> JsonObject:
    return {
        "begins_at": gap.begins_at,
        "ends_at": gap.ends_at,
        "seconds": _seconds(gap.length),
        "shut_down_seconds": _seconds(gap.stopped),
        "is_open": gap.is_open,
    }


def _places(report: Report) -> JsonObject:
    found = report.places
    return {
        "storage": found.first,
        "second_storage": found.second or None,
        "backups_stored": found.stored,
        "backups_copied": found.copied,
        "backups_locked": found.locked,
        "encryption": "AES-256-GCM" if found.key_id else None,
        "master_key_id": found.key_id or None,
        "reads_unencrypted": found.reads_plain,
    }


def _seal(report: Report) -> JsonObject:
    seal = report.seal
    return {
        "position": seal.position,
        "seal": seal.seal,
        "sealed_until": seal.at,
        "events_of_period": seal.events,
        "not_sealed_yet": seal.unsealed,
        "check": f"python manage.py verify_audit --expect {seal.noted}" if seal.noted else None,
    }


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
