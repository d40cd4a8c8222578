"""Render a transfer as JSON, terminal output or rows of a page."""

from collections import Counter
from dataclasses import asdict, dataclass

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move.batches import FATES, PRESENT, STORED
from backups_portal.transfers.pages.outcome_sentences import (
    FUTURE,
    change_text,
    outcome_notes,
    outcome_sentence,
)
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.ui.formats import count


@dataclass(frozen=True)
class PlanLine:
    """The result of the dry run for one device."""

    source: str
    name: str
    target: str
    how: str
    reason: str
    chosen: int
    fates: dict[str, int]


def plan_lines(plan: Plan) -> list[PlanLine]:
    """Build a line for every device, including skipped ones."""
    lanes = {match.source: number for number, match in enumerate(plan.moved)}
    lines = []
    for match in plan.matches:
        lane = lanes.get(match.source, -1)
        chosen = plan.outcome.chosen.get(lane)
        cells = {fate: plan.outcome.fates[fate].get(lane) for fate in FATES}
        lines.append(
            PlanLine(
                match.source,
                match.name,
                match.target or "",
                match.how,
                match.reason,
                chosen.rows if chosen else 0,
                {fate: cell.rows if cell else 0 for fate, cell in cells.items()},
            )
        )
    return lines


def shown_lines(transfer: Transfer, plan: Plan | None) -> list[JsonObject]:
    """Build a page's lines from the report or else the plan, changes first."""
    if transfer.report.get("devices"):
        skipped = [
            {**match, "chosen": 0, "fates": {}} for match in transfer.report.get("skipped", [])
        ]
        lines = [*transfer.report["devices"], *skipped]
    else:
        lines = [vars(line) for line in plan_lines(plan)] if plan else []
    names = Counter(line["name"] for line in lines)
    lines = [{**line, "has_twin": names[line["name"]] > 1} for line in lines]
    return sorted(lines, key=lambda line: (not has_changed(line), -_stored(line), line["name"]))


def has_changed(line: JsonObject) -> bool:
    """Tell whether a line differs from “all records already exist”."""
    is_moved = any(count for fate, count in line["fates"].items() if fate != PRESENT)
    return is_moved or line["how"] in ("created", "skipped") or line.get("is_equal") is False


def _stored(line: JsonObject) -> int:
    return sum(line["fates"].get(fate, 0) for fate in STORED)


def plan_sums(plan: Plan) -> dict[str, int]:
    """Count the rows of all devices by fate."""
    return {"chosen": plan.rows, **{fate: plan.outcome.rows(fate) for fate in FATES}}


def describe_plan(plan: Plan) -> list[str]:
    """Describe the dry run in text: a sentence, then each changed device."""
    lines = [vars(line) for line in plan_lines(plan)]
    resources = [vars(item) for item in plan.placements]
    changed = [line for line in lines if has_changed(line)]
    sentence = outcome_sentence(lines, resources, FUTURE, settings=changed_settings(plan))
    said = [sentence, *outcome_notes(lines, resources, plan.tokens)]
    said += [f"{line['name']} ({line['source']}): {_describe(line)}" for line in changed]
    if unchanged := len(lines) - len(changed):
        rest = "without changes to records" if plan.settings else "unchanged"
        said.append(f"{count(unchanged, 'device')} {rest}")
    for line, texts in settings_texts(plan):
        said.append(f"{line['name']} ({line['source']}): {'; '.join(texts)}")
    if plan.settings and (others := plan.settings.devices - len(plan.settings.lines)):
        said.append(f"{count(others, 'other device')}: tags and parameters change")
    return said + [f"{item.kind} {item.name}: {item.fate}" for item in plan.placements]


def changed_settings(plan: Plan) -> int | None:
    """Count devices whose settings come back; None if none should."""
    return plan.settings.devices if plan.settings else None


def settings_texts(plan: Plan) -> list[tuple[JsonObject, list[str]]]:
    """Say what becomes of the first devices' settings, each with its line."""

    def texts(line: JsonObject) -> list[str]:
        rest = [f"{line['more']:,} more"] if line["more"] else []
        return [*(change_text(one) for one in line["changes"]), *rest]

    return [(line, texts(line)) for line in (plan.settings.lines if plan.settings else ())]


def _describe(line: JsonObject) -> str:
    if line["how"] == "skipped":
        return str(line["reason"])
    fates = ", ".join(f"{rows:,} {fate}" for fate, rows in line["fates"].items() if rows)
    return f"{line['chosen']:,} records ({fates or 'none'}); {line['how']}"


def transfer_json(transfer: Transfer) -> JsonObject:
    """Return everything about a transfer as plain values, after redaction."""
    return {
        "id": str(transfer.pk),
        "source": transfer.shown_source,
        "target": transfer.shown_target,
        "state": transfer.state,
        "work": transfer.work,
        "reason": transfer.shown_reason,
        "cause": transfer.cause,
        "choice": transfer.choice,
        "rows_done": transfer.rows_done,
        "rows_total": transfer.rows_total,
        "created_at": transfer.created_at.isoformat(),
        "finished_at": transfer.finished_at.isoformat() if transfer.finished_at else None,
        "undo_until": transfer.ledger_until.isoformat()
        if transfer.has_ledger and transfer.ledger_until
        else None,
        "dry_run": dry_run_json(Plan.from_json(transfer.plan)) if transfer.plan else None,
        "report": report_of(transfer) or None,
    }


def report_of(transfer: Transfer) -> JsonObject:
    """Return the report; after an undo, without what it found in the target."""
    report: JsonObject = transfer.report
    if not transfer.is_undoing or "summary" not in report:
        return report
    return {
        **report,
        "summary": {**report["summary"], "found": None, "is_equal": None},
        "devices": [{**line, "stored": None, "is_equal": None} for line in report["devices"]],
    }


def dry_run_json(plan: Plan) -> JsonObject:
    """Return the dry run as plain values."""
    return {
        "summary": plan_sums(plan),
        "cost": plan.cost,
        "tokens": plan.tokens,
        "devices": [vars(line) for line in plan_lines(plan)],
        "resources": [vars(item) for item in plan.placements],
        "device_settings": plan.settings and asdict(plan.settings),
    }
