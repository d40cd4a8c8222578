"""Random histories: every snapshot restores to its moment, whatever was written."""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapshots.engine.contents_index import read_cells, read_devices
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from tests.projectdatabases import (
    START,
    Backups,
    Connection,
    add_device,
    add_rows,
    contents,
    open_database,
)

day = st.integers(0, 40)
count = st.integers(1, 30)
series = st.integers(1, 3)
step = st.one_of(
    st.tuples(st.just("insert"), day, count, series),
    st.tuples(st.just("update"), day, series),
    st.tuples(st.just("move"), day, day),
    st.tuples(st.just("delete"), day),
    st.tuples(st.just("truncate")),
    st.tuples(st.just("vacuum")),
    st.tuples(st.just("snapshot"), st.booleans()),
)


def write(connection: Connection, action: str, *arguments: Any) -> None:
    """Make one change in the source."""
    if action == "insert":
        first, rows, number = arguments
        add_rows(connection, first, rows, series=number)
        return
    days = [START + timedelta(days=n) for n in arguments if n is not None]
    within = "time >= %(day)s AND time < %(day)s::timestamptz + interval '1 day'"
    statements = {
        "update": f"UPDATE variable SET number_value = number_value + 1 WHERE {within}"
        " AND series_id = %(series)s",
        "move": f"UPDATE variable SET time = time + (%(to)s - %(day)s::timestamptz) WHERE {within}",
        "delete": f"DELETE FROM variable WHERE {within}",
        "truncate": "TRUNCATE variable",
        "vacuum": "VACUUM variable",
    }
    connection.execute(
        statements[action].encode(),
        {"day": days[0], "to": days[-1], "series": arguments[-1]} if days else None,
    )


def told(storage: Storage, manifest: Manifest) -> tuple[Any, ...]:
    """Return the rows and devices in a snapshot's contents."""
    cells = read_cells(storage, manifest.contents).to_pylist()
    return sorted(map(str, cells)), read_devices(storage, manifest.contents)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(step, min_size=3, max_size=12))
def test_every_snapshot_restores_to_its_moment(
    backups: Backups, history: list[tuple[Any, ...]]
) -> None:
    taken: list[tuple[Manifest, list[str]]] = []
    with open_database(backups.source) as source:
        source.execute("TRUNCATE variable, device CASCADE")
        add_device(source)
        add_rows(source, 0, 5)
        for action, *arguments in [*history, ("snapshot", False)]:
            if action == "snapshot":
                taken.append((backups.take(full=arguments[0]), contents(backups.source)))
            else:
                write(source, action, *arguments)
    for manifest, expected in taken[-3:]:
        assert backups.contents_of(manifest) == expected
    assert told(backups.storage, taken[-1][0]) == told(backups.storage, backups.take(full=True))
