"""An installation of the portal by docker-compose, as an operator has it."""

import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from backups_portal.demo.ports import free_port
from tests.compose.engine import Engine, run
from tests.contract.http import ask

T = TypeVar("T")

EMAIL = "you@example.com"
PASSWORD = "a long enough passphrase"
# On a machine that does much else.
READY_SECONDS = 300


@dataclass
class Installation:
    """A checkout whose services an engine runs."""

    engine: Engine
    checkout: Path
    ports: dict[str, int] = field(
        default_factory=lambda: {"PORTAL": free_port(), "API": free_port()}
    )

    def shell(self, command: str, typed: str = "") -> str:
        """Run what an operator types in the checkout."""
        return run(command, environment=self.engine.environment, folder=self.checkout, typed=typed)

    def manage(self, command: str, typed: str = "") -> str:
        """Run a command of manage.py where the manual runs it."""
        return self.shell(f"docker-compose exec -T web python manage.py {command}", typed)

    def configure(self) -> None:
        """Follow the first steps of the README."""
        self.shell("cp .env.example .env && .docker/make-secrets.sh")
        env = self.checkout / ".env"
        settings = {"ALLOWED_HOSTS": "portal.example.com"}
        settings |= {f"{name}_PORT": str(port) for name, port in self.ports.items()}
        text = env.read_text()
        for name, value in settings.items():
            text = re.sub(rf"^#?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        env.write_text(text)

    def up(self, *, build: bool = False) -> None:
        """Start what the checkout has, and wait until it says that it is ready."""
        self.shell(f"docker-compose up --detach{' --build' * build}")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the portal says that all of it works, and the API answers."""
        for name, path in (("PORTAL", "/readyz"), ("API", "/healthz")):
            wait_until(
                lambda name=name, path=path: answer(self.ports[name], path),
                is_right=lambda said: said[0] == 200,
            )

    def container(self, service: str) -> str:
        """Return the id of a service's container, which may have stopped."""
        label = f"label=com.docker.compose.service={service}"
        (found,) = self.engine.run("ps", "--all", "--quiet", "--filter", label).split()
        return found

    def run_inside(self, service: str, script: str) -> str:
        """Run a script in a service's container; return what it prints."""
        return self.engine.run("exec", self.container(service), "sh", "-c", script)

    def inspect(self, service: str) -> Any:
        """Return what the engine knows of a service's container."""
        return json.loads(self.engine.run("inspect", self.container(service)))[0]

    def health(self, service: str) -> str:
        """Return what the last health check of a service said."""
        return str(self.inspect(service)["State"]["Health"]["Status"])

    def ask_api(self, method: str, path: str, token: str = "", body: object = None) -> Any:
        """Ask the projects' API; return the result in its envelope."""
        url = f"http://localhost:{self.ports['API']}"
        status, result = ask(url, method, path, body, Token=token)
        assert status < 300, result
        return result

    def profile_token(self, project: str) -> str:
        """Sign in as a client does, for a token that may do everything in a project."""
        who = {"email": EMAIL, "password": PASSWORD}
        profiles = self.ask_api("POST", "/account/login", body=who)["profiles"]
        (profile,) = [one["id"] for one in profiles if one["name"] == project]
        asked = {**who, "profile_id": profile, "name": "test"}
        return str(self.ask_api("POST", "/account/profile/token", body=asked)["token"])


def wait_until(ask: Callable[[], T], *, is_right: Callable[[T], bool]) -> T:
    """Ask for something until it is as it should be; return the answer."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_right(said := ask()):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)
    return said


def answer(port: int, path: str) -> tuple[int, str]:
    """Ask a service of this machine; return the status, or 0, and what it says.

    Versions before this one answered under this name, and not under its address.
    """
    connection = http.client.HTTPConnection("localhost", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()
