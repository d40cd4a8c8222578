"""The formats of the log: lines for people, or JSON with named values for machines.

Each line has the ids of its task and of its request, which tasks inherit from the request or the
schedule that sent them. No line contains an address's password, not even in a traceback.
"""

import json
import logging
from datetime import UTC, datetime

from celery import current_task
from django_guid import get_guid

from backups_portal.lib.addresses.url import without_secrets

# Attributes of every record, from the standard library or from our filters and formatters. Any
# other attribute is a value that a library has logged.
OWN = {
    *vars(logging.makeLogRecord({})),
    *("asctime", "message", "request_id", "task_id", "taskName", "values", "where"),
}


class WhereFilter(logging.Filter):
    """Adds `request_id` and `task_id` to a record; "-" outside of one."""

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
        record.where = "".join(f" {name}={value}" for name, value in _where(record).items())
        return without_secrets(super().format(record))


class FieldsFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **_where(record),
        }
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack_info"] = record.stack_info
        taken = {*line, "request", "task"}
        said = {name: value for name, value in _said(record).items() if name not in taken}
        masked = {
            name: without_secrets(value) if isinstance(value, str) else value
            for name, value in {**line, **said}.items()
        }
        return json.dumps(masked, default=str)


def _where(record: logging.LogRecord) -> dict[str, str]:
    found = {name: getattr(record, f"{name}_id", "-") for name in ("request", "task")}
    return {name: value for name, value in found.items() if value != "-"}


def _said(record: logging.LogRecord) -> dict[str, object]:
    """Return the values of a record by name."""
    extra = {name: value for name, value in vars(record).items() if name not in OWN}
    values: dict[str, object] = getattr(record, "values", {})
    return {
        **extra,
        **{
            name: value if isinstance(value, int | float) else str(value)
            for name, value in values.items()
        },
    }


def log_settings(level: str, form: str) -> dict[str, object]:
    """Return Django's LOGGING: everything to standard error, without secrets.

    Args:
        form: The format of each entry, `line` or `json`.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter}, "json": {"()": FieldsFormatter}},
        "filters": {
            "where": {"()": WhereFilter},
            "mask": {"()": "backups_portal.lib.access_log.MaskingFilter"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": form,
                "filters": ["where", "mask"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django_guid": {"level": "WARNING"},
            # On the logger, so that other handlers, such as error trackers, are covered, too.
            "django.request": {"filters": ["mask"]},
        },
    }
