"""Find free TCP ports."""

import secrets
import socket

LOOPBACK = "127.0.0.1"
# Browsers get this name, because passkeys do not work with an IP address.
PORTAL_HOST = "localhost"
# Below the ephemeral ports of Linux and macOS, where an outgoing connection may take a port before
# its server does.
SERVER_PORTS = range(20_000, 32_768)


def api_port(port: int) -> int:
    """Return the port of the projects' API for a portal on this port."""
    return port + 1


def free_port() -> int:
    """Find a free port whose successor is free, too."""
    while True:
        port = secrets.choice(SERVER_PORTS)
        if is_free(port) and is_free(api_port(port)):
            return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    return not listen_error(port)


def listen_error(port: int) -> str:
    """Return why no server could listen on the port now; "" if one could."""
    with socket.socket() as probe:
        # Servers set this option, too, so connections in TIME_WAIT do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return str(error.strerror)
    return ""
