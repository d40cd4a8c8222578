"""Loggers whose calls name their values: `log.info("snapshot begins", snapshot=id)`.

A line has the values after the event, and its record keeps them by name, for JSON and other
handlers. Jobs bind their ids (`bound_contextvars`), and then every line has them, even those of
code that knows no ids. The loggers are the standard library's, with its levels and handlers.
"""

import logging

import structlog
from structlog.contextvars import merge_contextvars
from structlog.stdlib import BoundLogger, PositionalArgumentsFormatter, filter_by_level
from structlog.typing import EventDict

# Keyword arguments of the standard library's own logging calls.
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
    """Return the arguments for the standard library's logger."""
    options = {name: event.pop(name) for name in OPTIONS if name in event}
    extra = event.pop("extra", {})
    text = str(event.pop("event"))
    values = "".join(f" {name}={_shown(value)}" for name, value in event.items())
    return (text + values,), {**options, "extra": {**extra, "values": event}}


def _shown(value: object) -> str:
    """Quote a value that could be mistaken for several values or lines."""
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)
