"""The access log: one line per request, in the format of the application's own log.

For gunicorn's `--logger-class`. A line leaves out the query and any part of a path that grants
access, such as a password reset or download link: many people and systems read and keep logs.
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
# The query and fragment of an address.
QUERY = re.compile(r"[?#]\S*")
# A value signed by django.core.signing: the value, the time, the signature.
SIGNED = re.compile(r"(?<=/)[\w.=-]+:[\w-]+:[\w-]{20,}")
# The token of a password reset link: the account, the time, the signature.
RESET = re.compile(r"(?<=/)[0-9a-z]+-[0-9a-z]+-[0-9a-f]{32}(?=/|$)")
# Tokens of profiles and analyses lack the last two digits, except older ones.
TOKEN = rf"/(?:{UUID}|[ap]-{UUID[:-4]}{{10,12}})(?![\w-])"
KEPT = "/:@!$&'()*+,;=~"


def masked(text: str) -> str:
    """Mask whatever grants access in a path, or in a sentence with one."""
    return _token_pattern().sub(f"/{MASK}", RESET.sub(MASK, SIGNED.sub(MASK, QUERY.sub("", text))))


@cache
def _token_pattern() -> re.Pattern[str]:
    """Return the pattern of tokens, except after names that only ids follow.

    Tokens look like ids.
    """
    before = "".join(rf"(?<!/{name})" for name in _portal_settings().NAMES_BEFORE_IDS)
    return re.compile(before + TOKEN)


def _portal_settings() -> ModuleType:
    # Not django.conf.settings: gunicorn logs before the served module has chosen its settings.
    return import_module("backups_portal.settings")


class MaskingFilter(logging.Filter):
    """Masks secrets in the addresses that frameworks log."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(("django.", "gunicorn.")):
            # Django attaches the request object, whose address includes the query.
            record.__dict__.pop("request", None)
            if isinstance(record.args, tuple):
                record.args = tuple(
                    masked(value) if isinstance(value, str) else value for value in record.args
                )
            if isinstance(record.msg, str) and not record.args:
                record.msg = masked(record.msg)
        return True


class AccessLogger(Logger):
    """Gunicorn's logger in the application's format (LOG_FORMAT), without secrets."""

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
        """Log nothing: the bridge logs requests with the clients' addresses."""


def note_request(
    environ: Mapping[str, object],
    status: int,
    headers: Sequence[tuple[str, str]],
    sent: int,
    seconds: float,
) -> None:
    """Log one request, if gunicorn's access log is switched on."""
    named = {name.lower(): value for name, value in headers}
    log.info(
        f"{environ['REQUEST_METHOD']} {_path(environ)}",
        status=str(status),
        bytes=sent,
        seconds=round(seconds, 3),
        # The client's own address, set by ClientAddressMiddleware.
        address=environ.get("REMOTE_ADDR") or "-",
        agent=environ.get("HTTP_USER_AGENT", "-"),
        # The request is over, so only the answer's header still has its id.
        extra={"request_id": named.get("x-request-id", "-"), "task_id": "-"},
    )


def _path(environ: Mapping[str, object]) -> str:
    """Return the path as sent, without secrets, on one line (%0A stays)."""
    sent = QUERY.sub("", str(environ.get("RAW_URI", "")))
    return quote(masked(unquote(sent)), safe=KEPT)
