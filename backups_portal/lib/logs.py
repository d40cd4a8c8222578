"""Lines of the log: for people, or as JSON with every value under its name, for machines.

Each line says which request it belongs to, also in the tasks that a request or the schedule sent,
and which task. `log.info("snapshot begins snapshot=%s", id)` has a field "snapshot" in JSON.
"""

import logging
import re
import time
from typing import Any

from celery import current_task
from django_guid import get_guid
from pythonjsonlogger.json import JsonFormatter

# What a message says by name; any other placeholder is counted, so that the next value fits.
PLACEHOLDER = re.compile(r"(?:\b(?P<name>[a-z_]+)=)?%(?P<verb>[sdr]|\.\d+f)")
TAKEN = frozenset({"time", "level", "logger", "message", "request", "task", "process"})


class WhereFilter(logging.Filter):
    """Adds `request` and `task` to a record; "-" outside of one."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = get_guid() or "-"
        request = getattr(current_task, "request", None)
        record.task_id = getattr(request, "id", None) or "-"
        return True


class LineFormatter(logging.Formatter):
    """One line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s%(where)s")

    def format(self, record: logging.LogRecord) -> str:
        found = (("request", "request_id"), ("task", "task_id"))
        record.where = "".join(
            f" {name}={getattr(record, attribute)}"
            for name, attribute in found
            if getattr(record, attribute, "-") != "-"
        )
        return super().format(record)


class FieldsFormatter(JsonFormatter):
    """One JSON object a line."""

    def __init__(self) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{message}{process}{request_id}{task_id}",
            style="{",
            rename_fields={
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
                "request_id": "request",
                "task_id": "task",
            },
        )
        self.default_msec_format = "%s.%03dZ"
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
        self.converter = time.gmtime

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in log_data.items() if value != "-"}

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        for name, value in named_values(record).items():
            if name not in TAKEN:
                log_data.setdefault(name, value)


def named_values(record: logging.LogRecord) -> dict[str, str | int | float]:
    """The values that a message gives names to: `rows=%s` is `{"rows": 5}`."""
    if not isinstance(record.msg, str) or not isinstance(record.args, tuple):
        return {}
    found = PLACEHOLDER.finditer(record.msg.replace("%%", ""))
    return {
        match["name"]: value if isinstance(value, int | float) else str(value)
        for match, value in zip(found, record.args, strict=False)
        if match["name"]
    }
