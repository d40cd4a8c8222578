"""restic, where it is installed: pg_dump into a store that keeps equal pieces once."""

import os
import secrets
import shutil
from pathlib import Path

from tests.benchmarks.machine import folder_bytes
from tests.benchmarks.peers import dump_through, run
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.setup import Setup

NAME = "pg_dump -Fc -Z0 | restic"


def first(setup: Setup, samples: Samples, say: Say) -> Path | None:
    """The first backup; the repository, or None where there is no restic."""
    if shutil.which("restic") is None:
        samples.skipped[NAME] = "restic is not installed"
        return None
    say(NAME)
    os.environ.setdefault("RESTIC_PASSWORD", secrets.token_hex(8))
    repository = setup.scratch / f"restic-{secrets.token_hex(4)}"
    run("restic", "--quiet", "--repo", str(repository), "init")
    _back_up(setup, samples, repository, "first")
    return repository


def following(setup: Setup, samples: Samples, say: Say, repository: Path | None) -> None:
    """The next backup into the repository, which is removed then."""
    if repository is not None:
        say(f"{NAME}, next")
        _back_up(setup, samples, repository, "next")
        shutil.rmtree(repository)


def _back_up(setup: Setup, samples: Samples, repository: Path, which: str) -> None:
    before = folder_bytes(repository)
    setup.source.cluster.settle()
    command = ["restic", "--quiet", "--no-cache", "--repo", str(repository), "backup", "--stdin"]
    outcome = dump_through(setup.source, command)
    samples.add(f"{NAME}, {which} s", outcome.seconds)
    samples.add(f"{NAME}, {which} bytes", folder_bytes(repository) - before)
