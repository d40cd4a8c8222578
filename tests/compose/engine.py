"""A Docker engine of the test's own, whose images are made of this machine's files."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backups_portal.demo.child_processes import tied_to_parent
from tests.compose.machine_images import MACHINE_IMAGES

START_SECONDS = 60


class CommandError(AssertionError):
    """A command that should succeed did not."""


class EngineStartError(CommandError):
    """This machine lets no engine start, as inside most containers."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers at an address."""

    address: str

    @property
    def environment(self) -> dict[str, str]:
        """What the engine's clients need, and nothing of the test's own settings."""
        kept = ("PATH", "HOME", "LANG")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "DOCKER_HOST": self.address,
        }

    def run(self, *command: str | Path, typed: str = "") -> str:
        """Run one of docker's commands; return what it prints."""
        return run(["docker", *command], environment=self.environment, typed=typed)

    def answers(self) -> bool:
        """Say whether the engine is there."""
        asked = ["docker", "version"]
        return not subprocess.run(
            asked, env=self.environment, capture_output=True, check=False
        ).returncode

    def clear(self) -> None:
        """Remove everything but images."""
        for container in self.run("ps", "--all", "--quiet").split():
            self.run("rm", "--force", "--volumes", container)
        for kind in ("volume", "network"):
            self.run(kind, "prune", "--force")

    def make_images(self, folder: Path) -> None:
        """Make the images that docker-compose.yml and the Dockerfile begin with."""
        for image in MACHINE_IMAGES:
            root = folder / image.name.replace(":", "-")
            dockerfile = image.write(root)
            self.run("build", "--quiet", "--tag", image.name, "--file", "-", root, typed=dockerfile)


def run(
    command: list[str | Path] | str,
    *,
    environment: dict[str, str],
    folder: Path | None = None,
    typed: str = "",
) -> str:
    """Run a command, or what a shell is given; return what it prints.

    Raises:
        CommandError: it failed; the message has all that it printed.
    """
    words = ["bash", "-euo", "pipefail", "-c", command] if isinstance(command, str) else command
    done = subprocess.run(
        words, cwd=folder, env=environment, input=typed, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError(f"{command}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")
    return done.stdout


@contextmanager
def own_engine(folder: Path, layers: Path) -> Iterator[Engine]:
    """Start an engine that keeps what it builds in one folder, and the rest in another.

    Its containers end with it.

    Raises:
        EngineStartError: it does not start.
    """
    engine = Engine(f"unix://{folder}/docker.sock")
    places = {"data-root": layers, "exec-root": folder / "exec", "pidfile": folder / "pid"}
    options = [f"--{name}={place}" for name, place in places.items()]
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            ["dockerd", f"--host={engine.address}", *options],
            stdout=log,
            stderr=log,
            preexec_fn=tied_to_parent(signal.SIGTERM),
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not engine.answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise EngineStartError((folder / "engine.log").read_text()[-8000:])
                time.sleep(0.2)
            # Of a run that was killed.
            engine.clear()
            try:
                yield engine
            finally:
                # The engine would wait for each to stop.
                engine.clear()
        finally:
            process.terminate()
            process.wait()
