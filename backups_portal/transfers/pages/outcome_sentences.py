"""Describe in sentences what a transfer would change, or has changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.plan.selection import Choice
from backups_portal.ui.formats import count
from backups_portal.ui.visible_names import seen_name
from snapshots.reports.resource_lines import HIDDEN

# The most devices that are named instead of counted.
MAX_NAMED = 3
NO_MATCH = "No records match what you selected."


@dataclass(frozen=True)
class Tense:
    """The verb forms for the future or the past."""

    is_one: str
    are_many: str
    nothing: str
    unchanged: str

    def verb(self, count: int) -> str:
        """Return the verb for a number of things."""
        return self.is_one if count == 1 else self.are_many


FUTURE = Tense("will be", "will be", "nothing is overwritten", "Nothing will change.")
PAST = Tense("was", "were", "nothing was overwritten", "Nothing was changed.")


def outcome_sentence(
    devices: Sequence[JsonObject],
    resources: Sequence[JsonObject],
    tense: Tense,
    *,
    settings: int | None = None,
) -> str:
    """Describe what is added, created and replaced.

    Args:
        devices: The lines of the dry run or the report.
        resources: Other resources, each with its `fate`.
        settings: Devices whose tags and parameters come back; None if they were not asked for.
    """
    sums, fates = _sums(devices), Counter(item["fate"] for item in resources)
    receivers = sum(bool(line["fates"].get("add")) for line in devices)
    created = sum(line["how"] == "created" for line in devices)
    parts = (
        (sums["add"], f"record{_s(sums['add'])} of {count(receivers, 'device')}", "added"),
        (sums["replace"], f"record{_s(sums['replace'])}", "replaced"),
        (created, f"device{_s(created)}", "created"),
        (fates["created"], f"other resource{_s(fates['created'])}", "created"),
        (fates["replaced"], f"other resource{_s(fates['replaced'])}", "replaced"),
    )
    said = [f"{count:,} {what} {tense.verb(count)} {done}" for count, what, done in parts if count]
    if settings:
        whose = "device's" if settings == 1 else "devices'"
        said.append(f"{settings:,} {whose} tags and parameters {tense.are_many} brought back")
    if not said:
        return tense.unchanged if sums["chosen"] or fates or settings == 0 else NO_MATCH
    overwritten = sums["replace"] or fates["replaced"] or settings
    return f"{_listed(said)}{'' if overwritten else f'; {tense.nothing}'}."


def outcome_notes(
    devices: Sequence[JsonObject], resources: Sequence[JsonObject], tokens: int
) -> list[str]:
    """Describe what stays as it is in the target, and new tokens."""
    sums = _sums(devices)
    differ = sum(item["fate"] == "conflict" for item in resources)
    skipped = sum(line["how"] == "skipped" for line in devices)
    present, conflict, refused, full = (
        sums[fate] for fate in ("present", "conflict", "refused", "full")
    )
    notes = (
        (present, f"{count(present, 'record')} already there."),
        (conflict, f"{count(conflict, 'record')} there with a different value, which stays."),
        (refused, f"{count(refused, 'record')} left out: older than the device keeps."),
        (full, f"{count(full, 'record')} left out: the device is full."),
        (skipped, f"{count(skipped, 'device')} left out; the list below says why."),
        (differ, f"{count(differ, 'other resource')} there with different content, which stays."),
        (tokens, f"{count(tokens, 'new token')}: update whatever uses the old ones."),
    )
    return [sentence for count, sentence in notes if count]


def chosen_devices(chosen: Sequence[str] | None, lines: Sequence[JsonObject]) -> str:
    """Name the chosen devices if they are few and known; otherwise count them.

    Args:
        chosen: Their ids; None for all devices.
        lines: The devices as for `outcome_sentence`.
    """
    if chosen is None:
        return "All devices"
    names = {line["source"]: seen_name(line["name"]) for line in lines}
    if not chosen:
        return "No devices"
    if len(chosen) <= MAX_NAMED and set(chosen) <= names.keys():
        return _listed([names[device] for device in chosen])
    return count(len(chosen), "device")


def chosen_records(choice: Choice, lines: Sequence[JsonObject]) -> str:
    """Name the chosen devices, and the variables if not all are moved.

    Args:
        lines: The devices as for `outcome_sentence`.
    """
    devices = chosen_devices(choice.devices, lines)
    if not choice.variables or not choice.moves_records:
        return devices
    names = [seen_name(name) for name in choice.variables]
    variables = _listed(names) if len(names) <= MAX_NAMED else count(len(names), "variable")
    return f"{devices}, only {variables}"


def change_text(change: JsonObject) -> str:
    """Say what becomes of a tag or parameter: its values before and after.

    Args:
        change: As of `move/device_settings.py`.
    """
    old, new = (values_text(change, side) for side in ("before", "after"))
    what = f"{change['what']} {seen_name(change['key'])}"
    return f"{what}: changed ({old})" if old == new else f"{what}: {old} → {new}"


def values_text(change: JsonObject, side: str) -> str:
    """Write a key's values before or after a change; secrets are masked.

    Args:
        change: As for `change_text`; those of older versions have no totals.
        side: "before" or "after".
    """
    texts = change[side]
    total = change.get(f"{side}_total", len(texts))
    shown = (f"“{seen_name(text) if text else ''}”" if text != HIDDEN else text for text in texts)
    rest = f" ({len(texts):,} of {total:,} shown)" if total > len(texts) else ""
    return f"{', '.join(shown) or 'none'}{rest}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _sums(lines: Sequence[JsonObject]) -> Mapping[str, int]:
    sums: Counter[str] = Counter()
    for line in lines:
        sums["chosen"] += line["chosen"]
        sums.update(line["fates"])
    return sums
