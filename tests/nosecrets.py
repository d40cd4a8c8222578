"""Looks through everything that the suite has logged or queued for every secret that it made.

A plugin: each process of the suite notes what passes through its keyrings (tokens, passwords, keys
of authenticator apps), the passwords that accounts have, links for new ones, keys of sessions and
of snapshots, and at its end fails where one of them is in a line of a log, in a traceback that was
logged, in the arguments of a task, or in the log of a worker that it started.
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
# What tests made up to be looked up: a keyring sees it, and it opens nothing.
INVENTED: set[str] = set()


def invent(value: object) -> None:
    """Note each text inside a request that a test made up."""
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
    """The secrets of this process, and where its log goes to be searched."""

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
        """A secret, where it looks like one; a letter repeated is an id that no test made."""
        if SECRET.fullmatch(text) and len({*text}) > 1:
            self.secrets.add(text)

    def note_phrase(self, text: str) -> None:
        """A password, unless it is a word that stands in lines anyway."""
        if len(text) >= LONG_PHRASE:
            self.phrases.add(text)

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
                phrases = {phrase for phrase in self.phrases if phrase in line}
                for secret in ((words & self.secrets) | phrases) - INVENTED:
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


def watch_accounts(watch: Watch) -> None:
    """Let accounts say which passwords are theirs, and what signs in without one."""
    # Not before Django is ready.
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
    """Let the keys of snapshots be known, as they are written in settings."""
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
    """Begin to watch, in each process that runs tests."""
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
