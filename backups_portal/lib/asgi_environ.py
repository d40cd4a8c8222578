"""The WSGI environ (PEP 3333) of ASGI requests."""

import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes


def environ_of(scope: Mapping[str, Any]) -> dict[str, object]:
    """Make the environ of an ASGI request, without its body."""
    raw_path = bytes(scope["raw_path"]).partition(b"?")[0]
    query = scope["query_string"].decode("latin-1")
    host, port = (scope.get("server") or ("localhost", 80))[:2]
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        # PEP 3333 wants each byte of the path as one character.
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": raw_path.decode("latin-1") + (f"?{query}" if query else ""),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        # The server knows where a body ends, even a chunked one.
        "wsgi.input_terminated": True,
    }
    for name, value in scope["headers"]:
        _add(environ, name.decode("latin-1"), value.decode("latin-1"))
    return environ


def _add(environ: dict[str, object], name: str, value: str) -> None:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        key = f"HTTP_{key}"
    if key in environ:
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value
