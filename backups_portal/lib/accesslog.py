"""What web servers write down: each request on a line like those of the application's own log.

For gunicorn's `--logger-class`. A line has no query and no part of a path that opens something by
itself, as a link for a new password or a download does: logs are read and kept by many.
"""

import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any
from urllib.parse import quote, unquote

from gunicorn.glogging import Logger

from backups_portal.lib.logs import FieldsFormatter, LineFormatter, WhereFilter

MASK = "***"
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Where an address begins to say what is asked for, and not what for.
QUERY = re.compile(r"[?#]\S*")
# A claim that django.core.signing has signed: the value, the time, the signature.
SIGNED = re.compile(r"(?<=/)[\w.=-]+:[\w-]+:[\w-]{20,}")
# Tokens look like the ids of a few things that the portal's own addresses name.
TOKEN = re.compile(rf"(?<!/backups)(?<!/restores)(?<!/transfers)/(?:[ap]-)?{UUID}(?![\w-])")
LINE = "%s %s status=%s bytes=%s seconds=%.3f address=%s agent=%r"
KEPT = "/:@!$&'()*+,;=~"


def masked(text: str) -> str:
    """A path, or a sentence with one, without what opens something by itself."""
    return TOKEN.sub(f"/{MASK}", SIGNED.sub(MASK, QUERY.sub("", text)))


class MaskingFilter(logging.Filter):
    """Takes secrets out of the addresses that frameworks write down, for whoever reads on."""

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
        # Not django.conf.settings: which ones these are is said by the module that is served.
        handlers = import_module("backups_portal.settings").LOGGING["handlers"]
        is_json = handlers["stderr"]["formatter"] == "json"
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(FieldsFormatter() if is_json else LineFormatter())
        for handler in self.error_log.handlers:
            handler.addFilter(WhereFilter())
            handler.addFilter(MaskingFilter())

    def access(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> None:
        """Write one request down."""
        if not self.access_log_enabled:
            return
        headers = {name.lower(): value for name, value in resp.headers}
        self.access_log.info(
            LINE,
            environ["REQUEST_METHOD"],
            _path(environ),
            str(resp.status).partition(" ")[0],
            getattr(resp, "sent", None) or 0,
            request_time.total_seconds(),
            # The client's own: the middleware has put it there.
            environ.get("REMOTE_ADDR") or "-",
            environ.get("HTTP_USER_AGENT", "-"),
            # The request is over, and what it was called is in its answer only.
            extra={"request_id": headers.get("x-request-id", "-"), "task_id": "-"},
        )


def _path(environ: Mapping[str, Any]) -> str:
    """The path as it was sent, but for secrets: what is written as %0A stays on the line."""
    sent = QUERY.sub("", str(environ.get("RAW_URI", "")))
    return quote(masked(unquote(sent)), safe=KEPT)
