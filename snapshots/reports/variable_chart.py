"""Read a variable's values over a period, from a backup and the database."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.columns import POSTGRESQL_EPOCH
from backups_portal.projects.models import Project
from backups_portal.ui.measurement_chart import Measured
from snapshots.engine.chart_points import Points, chart_points, thin_out
from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.errors import EngineError
from snapshots.engine.series_search import Selection, Series, micros
from snapshots.reports.current_database import current_database
from snapshots.reports.variable_lines import moment_of

log = get_logger(__name__)

# Columns of a chart line, each with four values at most.
COLUMNS = 600
# How many values a page takes from the main database.
MAX_NOW = 1_000_000
# Numbers joined into one value are read in a tenth of the time of rows (column_reader.py).
NOW = """SELECT string_agg(timestamptz_send(time), ''), string_agg(float8send(number_value), '')
    FROM (SELECT time, number_value FROM variable
          WHERE series_id IN (SELECT id FROM series
                              WHERE device_id = %s AND variable = %s AND type = 'number')
            AND time >= %s AND time < %s AND number_value IS NOT NULL LIMIT %s) AS found"""


class TooManyError(Exception):
    """The main database has more values in the period than can be compared."""


def values_in_backup(
    records: DeviceRecords, series: Sequence[Series], since: datetime, until: datetime
) -> Measured:
    """Read values over a period, thinned out to what a screen can show.

    Raises:
        TooLongError: the period has more data than one request may read.
        EngineError: a segment is missing, damaged or locked.
    """
    selection = Selection(tuple(series), micros(since), micros(until))
    return _measured(chart_points(records, selection, columns=COLUMNS))


def values_now(
    project: Project, device_id: str, variable: str, since: datetime, until: datetime
) -> Measured | None:
    """Read values from the main database; None if it does not answer in time.

    Raises:
        TooManyError: it has too many values in the period.
    """
    try:
        with current_database(project) as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(NOW, [device_id, variable, since, until, MAX_NOW + 1])
            row = cursor.fetchone()
    except EngineError:
        log.warning("the main database was not asked", project=project.pk, exc_info=True)
        return None
    times, values = row if row and row[0] is not None else (b"", b"")
    points = Points(
        np.frombuffer(times, ">i8").astype(np.int64) + POSTGRESQL_EPOCH,
        np.frombuffer(values, ">f8").astype(np.float64),
    )
    if len(points.times) > MAX_NOW:
        raise TooManyError
    begin, end = micros(since) or 0, micros(until) or 0
    return _measured(thin_out(points, since=begin, until=end, columns=COLUMNS))


def _measured(points: Points) -> Measured:
    moments = [moment_of(time) for time in points.times.tolist()]
    return [
        (at, value)
        for at, value in zip(moments, points.values.tolist(), strict=True)
        if at is not None
    ]
