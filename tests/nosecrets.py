"""Search everything that the suite logged or queued for every secret that it made.

A plugin: each process of the suite collects what passes through its keyrings (tokens, passwords,
keys of authenticator apps), the accounts' passwords, password reset links, and the keys of sessions
and snapshots. At its end it fails if one of them is in a line of a log, in a logged traceback, in
the arguments of a task, or in the log of a worker that it started.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.conf import settings

from backups_portal.lib.crypto import Keyring
from snapshots.engine.encryption import MasterKeys

# Shorter ones are words of a test.
SECRET = re.compile(r"(?:[ap]-)?[A-Za-z0-9_-]{16,}")
LONG_PHRASE = 12
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Made up by tests for a lookup: a keyring sees them, but they open nothing.
INVENTED: set[str] = set()


def invent(value: object) -> None:
    """Record each text inside a request that a test made up."""
    if isinstance(value, str):
        INVENTED.update((value, *SECRET.findall(value)))
    elif isinstance(value, Mapping):
        invent(list(value.items()))
    elif isinstance(value, list | tuple):
        for one in value:
            invent(one)


KEPT = pytest.StashKey["Watch"]()
LEAKS = pytest.StashKey[list[str]]()


class Watch(logging.Handler):
    """The secrets of this process, and the file for its log to be searched."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.secrets: set[str] = set()
        # Passwords may have blanks, and be parts of a word.
        self.phrases: set[str] = set()
        self.file = file
        self._open = file.open("a", encoding="utf-8", errors="replace")
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._open.write(self.format(record) + "\n")

    def note(self, text: str) -> None:
        """Record a secret if it looks like one; a repeated letter is an id that no test made."""
        if SECRET.fullmatch(text) and len({*text}) > 1:
            self.secrets.add(text)

    def note_phrase(self, text: str) -> None:
        """Record a password unless it is an ordinary word of log lines."""
        if len(text) >= LONG_PHRASE:
            self.phrases.add(text)

    def queued(self, body: Any, sender: str, **_: Any) -> None:
        """Write down a sent task's arguments."""
        self._open.write(f"queued {sender} {body!r}\n")

    def leaks(self, others: list[Path]) -> list[str]:
        """Return the lines that contain a secret, each with its file; the secret is masked."""
        self._open.flush()
        return [leak for file in (self.file, *others) for leak in self._leaks_of(file)]

    def _leaks_of(self, file: Path) -> list[str]:
        found = []
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                words = {*SECRET.findall(line), *UUID.findall(line)}
                phrases = {phrase for phrase in self.phrases if phrase in line}
                for secret in ((words & self.secrets) | phrases) - INVENTED:
                    found.append(f"{file.name}: {line.strip().replace(secret, '<secret>')[:300]}")
        return found


def watch_keyrings(watch: Watch) -> None:
    """Let every keyring of this process report what it seals, opens and looks up."""
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


def watch_accounts(watch: Watch) -> None:
    """Let accounts report their passwords, and the secrets that sign in without one."""
    # These need Django to be ready.
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.tokens import PasswordResetTokenGenerator
    from django.contrib.sessions.backends.base import SessionBase

    check, set_password = AbstractBaseUser.check_password, AbstractBaseUser.set_password
    make_token = PasswordResetTokenGenerator.make_token
    new_key = SessionBase._get_new_session_key

    def noting_check(self: AbstractBaseUser, raw_password: str) -> bool:
        is_right = check(self, raw_password)
        if is_right:
            watch.note_phrase(raw_password)
        return is_right

    def noting_set(self: AbstractBaseUser, raw_password: str | None) -> None:
        watch.note_phrase(raw_password or "")
        set_password(self, raw_password)

    def noting_token(self: PasswordResetTokenGenerator, user: Any) -> str:
        token: str = make_token(self, user)
        watch.note(token)
        return token

    def noting_key(self: SessionBase) -> str:
        key: str = new_key(self)
        watch.note(key)
        return key

    for owner, name, method in (
        (AbstractBaseUser, "check_password", noting_check),
        (AbstractBaseUser, "set_password", noting_set),
        (PasswordResetTokenGenerator, "make_token", noting_token),
        (SessionBase, "_get_new_session_key", noting_key),
    ):
        setattr(owner, name, method)


def watch_master_keys(watch: Watch) -> None:
    """Record the keys of snapshots as the settings spell them."""
    wrap, parse = MasterKeys.wrap, MasterKeys.parse.__func__  # type: ignore[attr-defined]

    def noting_wrap(self: MasterKeys, name: str, data_key: bytes) -> bytes:
        watch.note(data_key.hex())
        return wrap(self, name, data_key)

    def noting_parse(cls: type[MasterKeys], text: str) -> MasterKeys | None:
        found: MasterKeys | None = parse(cls, text)
        for key in found.keys.values() if found else ():
            watch.note(key.hex())
        return found

    MasterKeys.wrap = noting_wrap  # type: ignore[method-assign]
    MasterKeys.parse = classmethod(noting_parse)  # type: ignore[assignment,method-assign]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start to watch, in each process that runs tests."""
    if session.config.option.numprocesses and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(Collected())
        return
    folder: pytest.TempPathFactory = session.config._tmp_path_factory
    watch = Watch(folder.mktemp("watch") / "suite.log")
    session.config.stash[KEPT] = watch
    watch_keyrings(watch)
    watch_accounts(watch)
    watch_master_keys(watch)
    for key in (settings.SECRET_KEY, settings.INSTALLATION_KEY):
        watch.note(key)
    logging.getLogger().addHandler(watch)
    before_task_publish.connect(watch.queued, weak=False)


class Collected:
    """Collects the other processes' findings in the process that distributes the tests."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take a process's findings; a crashed one sends none, and xdist reports it."""
        self.leaks += getattr(node, "workeroutput", {}).get("leaks", [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the suite if there are findings."""
        fail(session, self.leaks)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search, and fail the suite if something is found."""
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
    """Fail the suite on a leak, and leave other failures as they are."""
    session.config.stash[LEAKS] = leaks
    if leaks and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Report where secrets are."""
    if leaks := config.stash.get(LEAKS, []):
        terminalreporter.section("secrets were logged", red=True)
        for leak in leaks[:20]:
            terminalreporter.line(leak)
