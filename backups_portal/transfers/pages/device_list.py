"""List a project's devices by name, for pages on which some are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from django.core.paginator import Page
from psycopg import Connection
from psycopg.rows import class_row

from backups_portal.lib import pgsession
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.ui.pagination import page_of

# Counting more records of a device would slow its page down.
MAX_COUNTED = 100_000
# Other plans find all records of a device before they count the first one.
BY_INDEX = {**pgsession.PAGE, "enable_bitmapscan": "off", "enable_seqscan": "off"}
FOUND = """
    FROM device
    WHERE (%(sought)s = '' OR strpos(lower(name), lower(%(sought)s)) > 0
           OR id::text = lower(%(sought)s)) AND id::text <> ALL(%(chosen)s)"""
DETAILS = """
    SELECT id::text, name,
           (SELECT count(*) FROM (
                SELECT FROM variable
                WHERE series_id = ANY(ARRAY(SELECT id FROM series WHERE device_id = device.id))
                LIMIT %(counted)s) AS counted) AS records,
           EXISTS (SELECT FROM device AS other
                   WHERE other.name = device.name AND other.id <> device.id) AS has_twin"""


@dataclass(frozen=True)
class DeviceRow:
    """A device of a list.

    Attributes:
        records: The number of its records, up to MAX_COUNTED + 1.
        has_twin: Whether another device has the same name, so that the id tells them apart.
    """

    id: str
    name: str
    records: int
    has_twin: bool = False

    @property
    def count_text(self) -> str:
        """Format the number of its records."""
        return f"over {MAX_COUNTED:,}" if self.records > MAX_COUNTED else f"{self.records:,}"

    @property
    def records_text(self) -> str:
        """Format the number of its records with the noun."""
        return f"{self.count_text} record{'' if self.records == 1 else 's'}"


@dataclass(frozen=True)
class DeviceList:
    """The chosen devices, and a page of the others.

    Attributes:
        sought: The search text for the others.
        missing: Ids of chosen devices that the project does not have.
    """

    page: Page[DeviceRow]
    sought: str = ""
    chosen: list[DeviceRow] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def list_devices(
    project: Project, *, sought: str, number: str | None, size: int, chosen: Sequence[str] = ()
) -> DeviceList:
    """Read a page of a project's devices, by name.

    Args:
        sought: A part of the name, or an id; "" for all.
        number: The page number; a wrong one means the nearest page.
        chosen: Ids of devices that are always listed, before the others.

    Raises:
        psycopg.Error: the main database does not respond.
    """
    # PostgreSQL rejects NUL characters.
    sought = sought.strip().replace("\0", "")
    with pgsession.connect(project_dsn(project), settings=BY_INDEX) as connection:
        wanted = {"sought": sought, "chosen": list(chosen), "counted": MAX_COUNTED + 1}
        picked = _read_chosen(connection, wanted) if chosen else []
        count = partial(_count, connection, wanted)
        page = page_of(count, partial(_read, connection, wanted), number=number, size=size)
    found = {device.id for device in picked}
    missing = [one for one in dict.fromkeys(chosen) if one not in found]
    return DeviceList(page, sought, picked, missing)


def find_device(project: Project, key: str) -> DeviceRow | None:
    """Find one device of a project by its id.

    Raises:
        psycopg.Error: the main database does not respond.
    """
    wanted = {"chosen": [key.replace("\0", "")], "counted": MAX_COUNTED + 1}
    with pgsession.connect(project_dsn(project), settings=BY_INDEX) as connection:
        return next(iter(_read_chosen(connection, wanted)), None)


def _count(connection: Connection, wanted: dict[str, object]) -> int:
    row = connection.execute(f"SELECT count(*) {FOUND}".encode(), wanted).fetchone()
    return int(row[0]) if row else 0


def _read(
    connection: Connection, wanted: dict[str, object], *, first: int, most: int
) -> list[DeviceRow]:
    query = f"""{DETAILS} FROM (
        SELECT id, name {FOUND} ORDER BY name, id OFFSET %(first)s LIMIT %(most)s) AS device
        ORDER BY name, id"""
    with connection.cursor(row_factory=class_row(DeviceRow)) as cursor:
        bounds = {"first": first, "most": most}
        return cursor.execute(query.encode(), {**wanted, **bounds}).fetchall()


def _read_chosen(connection: Connection, wanted: dict[str, object]) -> list[DeviceRow]:
    query = f"{DETAILS} FROM device WHERE id::text = ANY(%(chosen)s) ORDER BY name, id"
    with connection.cursor(row_factory=class_row(DeviceRow)) as cursor:
        return cursor.execute(query.encode(), wanted).fetchall()
