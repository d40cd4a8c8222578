"""A transfer's report or dry run as CSV, with everything the JSON has."""

from collections.abc import Iterator

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move.batches import FATES
from backups_portal.transfers.move.device_settings import KIND as SETTINGS
from backups_portal.transfers.pages.outcome_sentences import values_text
from backups_portal.transfers.transfer_report import transfer_json
from backups_portal.ui.csv_escaping import csv_line
from backups_portal.ui.formats import count

COLUMNS = (
    *("kind", "id", "name", "target", "result", "chosen", *FATES, "found", "equal"),
    *("source digest", "target digest", "key", "before", "after"),
)
TAGS_AND_PARAMETERS = "tags and parameters"


def report_csv(transfer: Transfer) -> Iterator[str]:
    """Write the report, or else the dry run: a line per item, then totals."""
    yield csv_line(COLUMNS)
    document = transfer_json(transfer)
    if document["report"]:
        del document["dry_run"]
    report = document["report"] or document.get("dry_run") or {}
    undone = report.get("undone") or {}
    lines = (
        *(_device(device, transfer) for device in report.get("devices", [])),
        *(_device(match, transfer) for match in report.get("skipped", [])),
        *(_resource(item) for item in report.get("resources", [])),
        *_settings(report.get("device_settings") or {}),
        *(_kept(item) for item in undone.get("kept", [])),
        *({"kind": "transfer", "name": key, "result": value} for key, value in _facts(document)),
    )
    for line in lines:
        yield csv_line([_cell(line.get(column)) for column in COLUMNS])


def _device(device: JsonObject, transfer: Transfer) -> JsonObject:
    words = {True: "yes", False: "no", None: transfer.headline.lower()}
    is_reported = "is_equal" in device
    return {
        "kind": "device",
        "id": device["source"],
        "name": device["name"],
        "target": device["target"],
        "result": device.get("reason") or device["how"],
        "chosen": device.get("chosen"),
        **device.get("fates", {}),
        "found": device.get("stored"),
        "equal": words[device["is_equal"]] if is_reported else None,
        "source digest": device.get("source_digest"),
        "target digest": device.get("target_digest"),
    }


def _resource(item: JsonObject) -> JsonObject:
    return {**item, "id": item["source"], "result": item["fate"]}


def _settings(settings: JsonObject) -> Iterator[JsonObject]:
    """Yield a line for each change, and for those that the report only counts."""
    lines = settings.get("lines", ())
    for line in lines:
        about = {"id": line["source"], "name": line["name"], "target": line["target"]}
        for change in line["changes"]:
            values = {side: values_text(change, side) for side in ("before", "after")}
            yield {**about, "kind": change["what"], "key": change["key"], **values}
        if line["more"]:
            changed = f"{line['more']:,} more changed"
            yield {**about, "kind": TAGS_AND_PARAMETERS, "result": changed}
    if others := settings.get("devices", 0) - len(lines):
        # Once a move can no longer be undone, its values are forgotten, and all are only counted.
        changed = f"{count(others, 'other device' if lines else 'device')} changed"
        yield {"kind": TAGS_AND_PARAMETERS, "result": changed}


def _kept(item: JsonObject) -> JsonObject:
    kind = TAGS_AND_PARAMETERS if item["kind"] == SETTINGS else item["kind"]
    return {**item, "kind": kind, "result": f"not undone: {item['reason']}"}


def _facts(document: JsonObject, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield single values with their paths; objects in lists have own lines."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _facts(value, f"{path}{name}.")
        elif not isinstance(value, list | tuple):
            yield path + name, value
        elif value and all(isinstance(one, str) for one in value):
            yield path + name, ", ".join(value)


def _cell(value: object) -> object:
    """Write a value for people: nothing for None, yes or no for a boolean."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value
