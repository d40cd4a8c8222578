"""An installation of the portal by docker-compose, as operators run it."""

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
# Long enough for a busy machine.
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
        """Run a command in the checkout as an operator would."""
        return run(command, environment=self.engine.environment, folder=self.checkout, typed=typed)

    def manage(self, command: str, typed: str = "") -> str:
        """Run a manage.py command in the container that the manual names."""
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
        """Start the checkout's services, and wait until they report that they are ready."""
        self.shell(f"docker-compose up --detach{' --build' * build}")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the portal reports that everything works, and the API answers."""
        for name, path in (("PORTAL", "/readyz"), ("API", "/healthz")):
            wait_until(
                lambda name=name, path=path: answer(self.ports[name], path),
                is_right=lambda said: said[0] == 200,
            )

    def container(self, service: str) -> str:
        """Return the id of a service's container, which may be stopped."""
        label = f"label=com.docker.compose.service={service}"
        (found,) = self.engine.run("ps", "--all", "--quiet", "--filter", label).split()
        return found

    def run_inside(self, service: str, script: str) -> str:
        """Run a script in a service's container; return its output."""
        return self.engine.run("exec", self.container(service), "sh", "-c", script)

    def inspect(self, service: str) -> Any:
        """Return the engine's description of a service's container."""
        return json.loads(self.engine.run("inspect", self.container(service)))[0]

    def health(self, service: str) -> str:
        """Return the output of a service's last health check."""
        return str(self.inspect(service)["State"]["Health"]["Status"])

    def ask_api(self, method: str, path: str, token: str = "", body: object = None) -> Any:
        """Call the projects' API; return the result in its envelope."""
        url = f"http://localhost:{self.ports['API']}"
        status, result = ask(url, method, path, body, Token=token)
        assert status < 300, result
        return result

    def profile_token(self, project: str) -> str:
        """Sign in as a client does, for a token with full rights in a project."""
        who = {"email": EMAIL, "password": PASSWORD}
        profiles = self.ask_api("POST", "/account/login", body=who)["profiles"]
        (profile,) = [one["id"] for one in profiles if one["name"] == project]
        asked = {**who, "profile_id": profile, "name": "test"}
        return str(self.ask_api("POST", "/account/profile/token", body=asked)["token"])


def wait_until(ask: Callable[[], T], *, is_right: Callable[[T], bool]) -> T:
    """Ask repeatedly until the answer is right; return it."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_right(said := ask()):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)
    return said


def answer(port: int, path: str) -> tuple[int, str]:
    """Call a service of this machine; return its status (0 if unreachable) and body.

    Older versions answered under this name only, not under the address.
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
