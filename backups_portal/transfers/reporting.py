"""A transfer as its owner keeps it: JSON, CSV, lines of a terminal, rows of a page."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backups_portal.transfers.batches import FATES
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.planning import Plan

COLUMNS = ("device", "name", "target", "matched by", "chosen", *FATES, "found", "equal")
# A spreadsheet would take such a text for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class PlanLine:
    """What the dry run says of one device."""

    source: str
    name: str
    target: str
    how: str
    reason: str
    chosen: int
    fates: dict[str, int]


def plan_lines(plan: Plan) -> list[PlanLine]:
    """A line for every device, also for those that are skipped."""
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


def plan_sums(plan: Plan) -> dict[str, int]:
    """Rows of all devices by what would become of them."""
    return {"chosen": plan.rows, **{fate: plan.outcome.rows(fate) for fate in FATES}}


def describe_plan(plan: Plan) -> list[str]:
    """The dry run in lines of text."""
    lines = [
        f"{line.name} ({line.source}): "
        + (line.reason if line.how == "skipped" else _describe(line))
        for line in plan_lines(plan)
    ]
    lines += [f"{item.kind} {item.name}: {item.fate}" for item in plan.placements]
    if plan.tokens:
        lines.append(f"{plan.tokens} tokens will have another value in the target")
    return [*lines, f"the target will store {plan.cost} new records"]


def _describe(line: PlanLine) -> str:
    fates = ", ".join(f"{rows} {fate}" for fate, rows in line.fates.items() if rows)
    return f"{line.chosen} records ({fates or 'none'}); {line.how}"


def transfer_json(transfer: Transfer) -> dict[str, Any]:
    """Everything that is known of a transfer, as plain values."""
    return {
        "id": str(transfer.pk),
        "source": transfer.source_name,
        "target": transfer.target_name,
        "state": transfer.state,
        "work": transfer.work,
        "reason": transfer.reason,
        "choice": transfer.choice,
        "rows_done": transfer.rows_done,
        "rows_total": transfer.rows_total,
        "created_at": transfer.created_at.isoformat(),
        "finished_at": transfer.finished_at.isoformat() if transfer.finished_at else None,
        "undo_until": transfer.ledger_until.isoformat()
        if transfer.has_ledger and transfer.ledger_until
        else None,
        "dry_run": dry_run_json(transfer.planned()) if transfer.plan else None,
        "report": transfer.report or None,
    }


def dry_run_json(plan: Plan) -> dict[str, Any]:
    """The dry run as plain values."""
    return {
        "summary": plan_sums(plan),
        "cost": plan.cost,
        "tokens": plan.tokens,
        "devices": [vars(line) for line in plan_lines(plan)],
        "resources": [vars(item) for item in plan.placements],
    }


def report_csv(transfer: Transfer) -> Iterator[str]:
    """The report's devices as CSV, line by line; of a dry run, what it found."""
    yield _line(COLUMNS)
    for device in transfer.report.get("devices", []):
        fates = [device["fates"][fate] for fate in FATES]
        yield _line(
            [
                device["source"],
                device["name"],
                device["target"],
                device["how"],
                device["chosen"],
                *fates,
                device["stored"],
                "yes" if device["is_equal"] else "no",
            ]
        )
    for match in transfer.report.get("skipped", []):
        yield _line([match["source"], match["name"], "", match["reason"], *[""] * 9])


def _line(values: Any) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerow([_safe(value) for value in values])
    return stream.getvalue()


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
