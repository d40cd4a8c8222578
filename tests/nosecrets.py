"""Looks through everything that the suite has logged or queued for every secret that it made.

A plugin: each process of the suite notes what passes through its keyrings (tokens, passwords, keys
of authenticator apps), and at its end fails where one of them is in a line of a log, in a
traceback that was logged, in the arguments of a task, or in the log of a worker that it started.
"""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from celery.signals import before_task_publish

from backups_portal.lib.crypto import Keyring

# Shorter ones are words of a test.
SECRET = re.compile(r"(?:[ap]-)?[A-Za-z0-9_-]{16,}")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEPT = pytest.StashKey["Watch"]()
LEAKS = pytest.StashKey[list[str]]()


class Watch(logging.Handler):
    """The secrets of this process, and where its log goes to be searched."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.secrets: set[str] = set()
        self.file = file
        self._open = file.open("a", encoding="utf-8", errors="replace")
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._open.write(self.format(record) + "\n")

    def note(self, text: str) -> None:
        """A secret, where it looks like one."""
        if SECRET.fullmatch(text):
            self.secrets.add(text)

    def queued(self, body: Any, sender: str, **_: Any) -> None:
        """Write down with which arguments a task was sent."""
        self._open.write(f"queued {sender} {body!r}\n")

    def leaks(self, others: list[Path]) -> list[str]:
        """The lines in which a secret is, each with its file; the secret is made unreadable."""
        self._open.flush()
        return [leak for file in (self.file, *others) for leak in self._leaks_of(file)]

    def _leaks_of(self, file: Path) -> list[str]:
        found = []
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                words = {*SECRET.findall(line), *UUID.findall(line)}
                for secret in words & self.secrets:
                    found.append(f"{file.name}: {line.strip().replace(secret, '<secret>')[:300]}")
        return found


def watch_keyrings(watch: Watch) -> None:
    """Let every keyring of this process say what it seals, opens and looks up."""
    digest, seal, unseal = Keyring.digest, Keyring.seal, Keyring.open

    def noting_digest(self: Keyring, secret: str) -> bytes:
        watch.note(secret)
        return digest(self, secret)

    def noting_seal(self: Keyring, plain: str, purpose: str) -> bytes:
        watch.note(plain)
        return seal(self, plain, purpose)

    def noting_open(self: Keyring, sealed: bytes | memoryview, purpose: str) -> str:
        plain = unseal(self, sealed, purpose)
        watch.note(plain)
        return plain

    for name, method in (("digest", noting_digest), ("seal", noting_seal), ("open", noting_open)):
        setattr(Keyring, name, method)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to watch, in each process that runs tests."""
    if session.config.option.numprocesses and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(Collected())
        return
    folder: pytest.TempPathFactory = session.config._tmp_path_factory
    watch = Watch(folder.mktemp("watch") / "suite.log")
    session.config.stash[KEPT] = watch
    watch_keyrings(watch)
    logging.getLogger().addHandler(watch)
    before_task_publish.connect(watch.queued, weak=False)


class Collected:
    """In the process that hands out tests: what the others have found."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a process found; one that died has told nothing, and xdist says so."""
        self.leaks += getattr(node, "workeroutput", {}).get("leaks", [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the suite."""
        fail(session, self.leaks)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search, and fail the suite where something is found."""
    watch = session.config.stash.get(KEPT, None)
    if watch is None:
        return
    folder: pytest.TempPathFactory = session.config._tmp_path_factory
    others = [file for file in folder.getbasetemp().rglob("*.log") if file != watch.file]
    leaks = watch.leaks(others)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["leaks"] = leaks
    else:
        fail(session, leaks)


def fail(session: pytest.Session, leaks: list[str]) -> None:
    """Let the suite fail where there is one; what else failed is told as ever."""
    session.config.stash[LEAKS] = leaks
    if leaks and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say where secrets are."""
    if leaks := config.stash.get(LEAKS, []):
        terminalreporter.section("secrets were logged", red=True)
        for leak in leaks[:20]:
            terminalreporter.line(leak)
