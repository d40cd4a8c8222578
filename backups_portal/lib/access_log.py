"""The access log: each request on a line like those of the application's own log.

For gunicorn's `--logger-class`. A line has no query and no part of a path that opens something by
itself, as a link for a new password or a download does: logs are read and kept by many.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import quote, unquote

from gunicorn.glogging import Logger

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.logs import FieldsFormatter, LineFormatter, WhereFilter

log = get_logger("gunicorn.access")

MASK = "***"
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Where an address begins to say what is asked for, and not what for.
QUERY = re.compile(r"[?#]\S*")
# A claim that django.core.signing has signed: the value, the time, the signature.
SIGNED = re.compile(r"(?<=/)[\w.=-]+:[\w-]+:[\w-]{20,}")
# Of a link for a new password: the account, the time, the signature.
RESET = re.compile(r"(?<=/)[0-9a-z]+-[0-9a-z]+-[0-9a-f]{32}(?=/|$)")
# Those of profiles and analyses lack the last two digits, but for older ones.
TOKEN = rf"/(?:{UUID}|[ap]-{UUID[:-4]}{{10,12}})(?![\w-])"
KEPT = "/:@!$&'()*+,;=~"


def masked(text: str) -> str:
    """Mask what opens something by itself in a path or in a sentence with one."""
    return _token_pattern().sub(f"/{MASK}", RESET.sub(MASK, SIGNED.sub(MASK, QUERY.sub("", text))))


@cache
def _token_pattern() -> re.Pattern[str]:
    """Return what finds tokens, which look like ids, but behind names that ids alone follow."""
    before = "".join(rf"(?<!/{name})" for name in _portal_settings().NAMES_BEFORE_IDS)
    return re.compile(before + TOKEN)


def _portal_settings() -> ModuleType:
    # Not django.conf.settings: which ones these are is said by the module that is served.
    return import_module("backups_portal.settings")


class MaskingFilter(logging.Filter):
    """Takes secrets out of the addresses that frameworks write down."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(("django.", "gunicorn.")):
            # The request itself, as Django hands it on, has its address with the query.
            record.__dict__.pop("request", None)
            if isinstance(record.args, tuple):
                record.args = tuple(
                    masked(value) if isinstance(value, str) else value for value in record.args
                )
            if isinstance(record.msg, str) and not record.args:
                record.msg = masked(record.msg)
        return True


class AccessLogger(Logger):
    """Gunicorn's logger with the application's formats (LOG_FORMAT), and without secrets."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        handlers = _portal_settings().LOGGING["handlers"]
        is_json = handlers["stderr"]["formatter"] == "json"
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(FieldsFormatter() if is_json else LineFormatter())
        for handler in self.error_log.handlers:
            handler.addFilter(WhereFilter())
            handler.addFilter(MaskingFilter())

    def access(self, *about: Any) -> None:
        """Leave requests to the bridge, which knows their clients' own addresses."""


def note_request(
    environ: Mapping[str, object],
    status: int,
    headers: Sequence[tuple[str, str]],
    sent: int,
    seconds: float,
) -> None:
    """Write one request down, if gunicorn was told to have an access log."""
    named = {name.lower(): value for name, value in headers}
    log.info(
        f"{environ['REQUEST_METHOD']} {_path(environ)}",
        status=str(status),
        bytes=sent,
        seconds=round(seconds, 3),
        # The client's own: the middleware has put it there.
        address=environ.get("REMOTE_ADDR") or "-",
        agent=environ.get("HTTP_USER_AGENT", "-"),
        # The request is over, and what it was called is in its answer only.
        extra={"request_id": named.get("x-request-id", "-"), "task_id": "-"},
    )


def _path(environ: Mapping[str, object]) -> str:
    """Return the path as it was sent, without secrets; %0A stays on its line."""
    sent = QUERY.sub("", str(environ.get("RAW_URI", "")))
    return quote(masked(unquote(sent)), safe=KEPT)
