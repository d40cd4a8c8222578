"""Loggers whose calls name their values: `log.info("snapshot begins", snapshot=id)`.

A line has the values behind the event, and its record keeps them by name, for JSON and for all that
listens besides. What is at work binds its ids (`bound_contextvars`), and all lines have them, those
of code that knows no ids as well. The loggers are those of the standard library, with its levels
and handlers.
"""

import logging

import structlog
from structlog.contextvars import merge_contextvars
from structlog.stdlib import BoundLogger, PositionalArgumentsFormatter, filter_by_level
from structlog.typing import EventDict

# What the standard library itself is told with a call.
OPTIONS = ("exc_info", "stack_info", "stacklevel")


def get_logger(name: str) -> BoundLogger:
    """Return the logger of a module."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            filter_by_level,
            merge_contextvars,
            PositionalArgumentsFormatter(),
            _as_record,
        ],
        wrapper_class=BoundLogger,
    )
    return logger


def _as_record(_: object, __: str, event: EventDict) -> tuple[tuple[str], dict[str, object]]:
    """Say what the standard library is called with."""
    options = {name: event.pop(name) for name in OPTIONS if name in event}
    extra = event.pop("extra", {})
    text = str(event.pop("event"))
    said = "".join(f" {name}={_shown(value)}" for name, value in event.items())
    return (text + said,), {**options, "extra": {**extra, "values": event}}


def _shown(value: object) -> str:
    """Quote what could be taken for another value, or for another line."""
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)
