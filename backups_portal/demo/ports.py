"""Find free TCP ports."""

import secrets
import socket

LOOPBACK = "127.0.0.1"
# What browsers are given: by a number they know no passkeys.
PORTAL_HOST = "localhost"
# Below those that Linux and macOS give to connections, which may take one before its server does.
SERVER_PORTS = range(20_000, 32_768)


def api_port(port: int) -> int:
    """Return the port of the projects' API, beside a portal on this port."""
    return port + 1


def free_port() -> int:
    """Find a port that is free, as is the one after it."""
    while True:
        port = secrets.choice(SERVER_PORTS)
        if is_free(port) and is_free(api_port(port)):
            return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: connections that ended a moment ago are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
