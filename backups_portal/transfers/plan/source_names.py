"""Find devices and variables of a choice that the source does not have."""

from collections.abc import Iterable, Sequence

from psycopg import Connection

from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.plan.selection import Choice

# The most names in a message.
MAX_NAMED = 5


def check_names(source: Connection, choice: Choice, project_name: str) -> None:
    """Raise TransferRefusedError if the source lacks a device or variable."""
    if choice.devices and (lacking := lacking_devices(source, choice.devices)):
        noun = "device" if len(lacking) == 1 else "devices"
        problem = f"{project_name} has no {noun} {listed(lacking)}."
        raise TransferRefusedError(problem, field="devices")
    if choice.variables and (lacking := _lacking_variables(source, choice)):
        noun = "a variable" if len(lacking) == 1 else "variables"
        who = "None of the chosen devices" if choice.devices else "No device"
        problem = f"{who} of {project_name} has {noun} {listed(lacking)}."
        raise TransferRefusedError(problem, field="variables")


def lacking_devices(source: Connection, ids: Iterable[str]) -> list[str]:
    """Return the ids that no device of the source has."""
    wanted = list(ids)
    rows = source.execute("SELECT id::text FROM device WHERE id::text = ANY(%s)", [wanted])
    there = {key for (key,) in rows}
    return [key for key in wanted if key not in there]


def _lacking_variables(source: Connection, choice: Choice) -> list[str]:
    rows = source.execute(
        """SELECT DISTINCT variable FROM series WHERE variable = ANY(%(names)s::text[])
             AND (%(devices)s::text[] IS NULL OR device_id::text = ANY(%(devices)s::text[]))""",
        {
            "names": list(choice.variables or ()),
            "devices": list(choice.devices) if choice.devices else None,
        },
    )
    there = {name for (name,) in rows}
    return [name for name in choice.variables or () if name not in there]


def listed(names: Sequence[str]) -> str:
    """List the first names, and say how many are left out."""
    first = ", ".join(names[:MAX_NAMED])
    return first if len(names) <= MAX_NAMED else f"{first} and {len(names) - MAX_NAMED:,} more"
