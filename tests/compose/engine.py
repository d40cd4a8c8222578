"""A test's Docker engine, whose images are built from this machine's files."""

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
    """This machine cannot start an engine; most containers forbid it."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers at an address."""

    address: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment that Docker clients need, without the test's own settings."""
        kept = ("PATH", "HOME", "LANG")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "DOCKER_HOST": self.address,
        }

    def run(self, *command: str | Path, typed: str = "") -> str:
        """Run a Docker command; return its output."""
        return run(["docker", *command], environment=self.environment, typed=typed)

    def answers(self) -> bool:
        """Return whether the engine answers."""
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
    """Run a command or a shell script; return its output.

    Raises:
        CommandError: It failed; the message contains all its output.
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
    """Start an engine that keeps its builds in one folder, and the rest in another.

    Its containers end with it.

    Raises:
        EngineStartError: It does not start.
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
            # A killed run may have left containers.
            engine.clear()
            try:
                yield engine
            finally:
                # Otherwise the engine would wait for each container to stop.
                engine.clear()
        finally:
            process.terminate()
            process.wait()
