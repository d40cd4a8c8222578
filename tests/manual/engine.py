"""A docker-compose without an engine: runs the services of docker-compose.yml on this machine.

PostgreSQL starts as its image does: an empty volume is first set up on a socket, which `exec`
commands also reach, and only then does the server listen. Redis is this test run's.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import dropwhile
from pathlib import Path
from typing import Any

import yaml

from backups_portal.demo.system_user import SystemUser, service_user

ROOT = Path(__file__).parents[2]
# Prolongs the first start, which takes seconds on a real machine; no command may rely on it.
SETTING_UP_SECONDS = 3.0


class Engine:
    """The services of a checkout, whose folder is the working directory."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.settings: dict[str, str] = json.loads((state / "engine.json").read_text())
        self.services: dict[str, Any] = yaml.safe_load(Path("docker-compose.yml").read_text())[
            "services"
        ]
        self.volume = state / "volume"
        self.user: SystemUser | None = service_user(state)

    def up(self, *services: str) -> None:
        """Start services and their dependencies, waiting only as long as compose does."""
        if not (self.volume / "postmaster.pid").exists():
            self._detach_postgres()
        if "postgres" not in services:
            self._wait_for_postgres()
            command = self.services["migrate"]["command"]
            self._run(command, self._portal_environment())

    def exec(self, service: str, command: list[str]) -> None:
        """Run a command in a running service."""
        if command[0].startswith("/docker-entrypoint-initdb.d/"):
            (script,) = self._mounted(command[0])
            self._set_up(script)
        elif service == "postgres":
            self._run(command, self._postgres_environment(), user=self.user)
        else:
            self._run(command, self._portal_environment())

    def down(self, *, with_volumes: bool) -> None:
        """Stop everything."""
        pid = self.volume / "postmaster.pid"
        if pid.exists():
            # A server in its setup phase may have ended by now.
            with suppress(ProcessLookupError, FileNotFoundError):
                os.kill(int(pid.read_text().split()[0]), signal.SIGINT)
        while pid.exists():
            time.sleep(0.05)
        if with_volumes:
            shutil.rmtree(self.volume)

    def _run(
        self, command: list[str], environment: dict[str, str], user: SystemUser | None = None
    ) -> None:
        words = [sys.executable if word == "python" else word for word in command]
        if words[:2] == ["sh", "-c"]:
            words[2] = words[2].replace("python manage.py", f"{sys.executable} manage.py")
        who = user.as_popen_arguments() if user else {}
        # The image has manage.py in the working directory.
        where = ROOT if user is None else self.state
        done = subprocess.run(words, env=environment, cwd=where, check=False, **who)
        if done.returncode:
            sys.exit(done.returncode)

    def _detach_postgres(self) -> None:
        """Return at once, as `up --detach` does; another process sets the server up."""
        subprocess.Popen(
            [sys.executable, "-m", "tests.manual.engine", "start-postgres"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=(self.state / "postgres.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def start_postgres(self) -> None:
        """Do the work of the image's docker-entrypoint.sh."""
        environment, who = self._postgres_environment(), self._as_user()
        socket = f"-c unix_socket_directories={self.state}"
        port = f"-c port={environment['PGPORT']} -c fsync=off"
        if not self.volume.exists():
            self.volume.mkdir(mode=0o700)
            if self.user:
                self.user.take(self.volume)
            initdb = [
                "initdb",
                "--username=postgres",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
            ]
            subprocess.run([*initdb, "--no-sync", self.volume], env=environment, check=True, **who)
            options = f"{socket} {port} -c listen_addresses="
            self._control("start", options)
            time.sleep(SETTING_UP_SECONDS)
            for script in self._mounted("/docker-entrypoint-initdb.d/"):
                self._set_up(script)
            self._control("stop", "")
        self._control("start", f"{socket} {port} -c listen_addresses=127.0.0.1")

    def _control(self, action: str, options: str) -> None:
        command = ["pg_ctl", action, "--wait", f"--pgdata={self.volume}", f"--options={options}"]
        subprocess.run(
            [*command, f"--log={self.state}/server.log"],
            env=self._postgres_environment(),
            check=True,
            **self._as_user(),
        )

    def _set_up(self, script: str) -> None:
        """Run a script of the volume's first start with local paths for the mounts."""
        text = Path(script).read_text().replace("/run/secrets", str(Path(".secrets").absolute()))
        for mount in self.services["postgres"]["volumes"][1:]:
            source, target, _ = mount.split(":")
            text = text.replace(f"={target}", f"={Path(source).absolute()}")
        subprocess.run(["sh", "-c", text], env=self._postgres_environment(), check=True)

    def _mounted(self, folder: str) -> list[str]:
        mounts = [mount.split(":") for mount in self.services["postgres"]["volumes"]]
        return sorted(source for source, target, *_ in mounts if target.startswith(folder))

    def _wait_for_postgres(self) -> None:
        """Wait for the service's health, as `depends_on` asks."""
        (check,) = self.services["postgres"]["healthcheck"]["test"][1:]
        deadline = time.monotonic() + 120
        while subprocess.run(
            ["sh", "-c", check],
            env=self._postgres_environment(),
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode:
            if time.monotonic() > deadline:
                sys.exit("postgres is unhealthy")
            time.sleep(0.2)

    def _as_user(self) -> dict[str, Any]:
        return {"cwd": self.state, **(self.user.as_popen_arguments() if self.user else {})}

    def _postgres_environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.settings['programs']}:{os.environ['PATH']}",
            "PGHOST": str(self.state),
            "PGPORT": self.settings["port"],
            "POSTGRES_USER": "postgres",
            "HOME": str(self.state),
            "LC_ALL": "C.UTF-8",
        }

    def _portal_environment(self) -> dict[str, str]:
        """Return the environment of docker-compose.yml with .env and the secret files."""
        lines = Path(".env").read_text().splitlines()
        given = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
        secrets = Path(".secrets").absolute()
        named = {
            name: str(value).replace("/run/secrets", str(secrets))
            for name, value in self.services["web"]["environment"].items()
            if name.endswith("_FILE")
        }
        named.pop("REDIS_URL_FILE")
        url = (secrets / "database_url").read_text()
        del named["DATABASE_URL_FILE"]
        return {
            "PATH": os.environ["PATH"],
            **{name: value for name, value in given.items() if value},
            **named,
            "DATABASE_URL": url.replace("@postgres:5432", f"@127.0.0.1:{self.settings['port']}"),
            "REDIS_URL": self.settings["redis_url"],
            "SNAPSHOT_STORAGE": f"file://{self.state / 'snapshots'}",
        }


def main(arguments: list[str]) -> None:
    """Parse the manual's docker-compose commands."""
    engine = Engine(Path(os.environ["ENGINE_STATE"]))
    verb, *rest = arguments
    words = list(dropwhile(lambda word: word.startswith("-"), rest))
    if verb == "up":
        engine.up(*words)
    elif verb in ("exec", "run"):
        engine.exec(words[0], words[1:])
    elif verb == "down":
        engine.down(with_volumes="--volumes" in rest)
    elif verb == "start-postgres":
        engine.start_postgres()
    else:
        sys.exit(f"this engine does not know {shlex.join(arguments)}")


if __name__ == "__main__":
    main(sys.argv[1:])
