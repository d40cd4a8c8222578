"""Write records as CSV in TagoIO's format, which the CSV import reads.

transfers/csv_files/csv_format.py, which reads the columns, describes them.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from backups_portal.ui.csv_escaping import harmless

HEADERS = ("variable", "value", "group", "unit", "location", "metadata", "time", "value_type")
# variable, value, group, unit, longitude, latitude, metadata as JSON text, time.
RecordRow = tuple[str, object, str, str | None, float | None, float | None, str | None, datetime]


def write_rows(rows: Iterable[RecordRow]) -> Iterator[str]:
    """Write CSV text, in pieces."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(HEADERS)
    for variable, value, group, unit, longitude, latitude, metadata, moment in rows:
        place = "" if latitude is None else f"{latitude!r},{longitude!r}"
        written = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        kind, text = _typed(value)
        texts = [harmless(variable), text, harmless(group), harmless(unit or "")]
        writer.writerow([*texts, place, metadata or "", written, kind])
        if stream.tell() > 1 << 16:
            yield stream.getvalue()
            stream.seek(0)
            stream.truncate()
    yield stream.getvalue()


def _typed(value: object) -> tuple[str, str]:
    """Return the type of a value, and its text."""
    if value is None:
        return "none", ""
    if isinstance(value, bool):
        return "boolean", json.dumps(value)
    if isinstance(value, int | float):
        return "number", json.dumps(value)
    return "string", harmless(str(value))
