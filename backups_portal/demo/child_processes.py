"""Run the demo's child processes, which never outlive it."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backups_portal.demo.data_folder import DataFolder, write_whole
from backups_portal.demo.errors import DemoError
from backups_portal.demo.process_identity import end, start_mark
from backups_portal.demo.system_user import SystemUser

PR_SET_PDEATHSIG = 1
TAIL_LINES = 15
WAIT_SECONDS = 0.02
# Loaded before the fork, because nothing may be imported between fork and exec.
_LIBC: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Program:
    """A program and the signal that stops it."""

    name: str
    command: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM
    # Sent to its process group if it has not stopped within its patience (seconds).
    insist_signal: signal.Signals = signal.SIGKILL
    # Sent if the demo was killed before it could stop the program.
    orphan_signal: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    user: SystemUser | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    given: bytes | None = None
    # The folder in which it runs; the data folder by default.
    cwd: Path | None = None


class ForkedProcess:
    """A forked child process with the methods of Popen that a `Child` calls."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Raises:
            TimeoutExpired: it is still running.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(WAIT_SECONDS)
        return code

    def send_signal(self, signal_: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, signal_)


class Child:
    """A running program."""

    def __init__(
        self, program: Program, process: subprocess.Popen[bytes] | ForkedProcess, log: Path
    ) -> None:
        self.name = program.name
        self.log = log
        self._program = program
        self._process = process

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Check that it runs.

        Raises:
            DemoError: it has ended; the message contains the last lines of its log.
        """
        code = self.exit_code()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise DemoError(
                f"The {self.name} process ended by itself ({how}). "
                f"The last lines of {self.log}:\n{self.tail()}"
            )

    def tail(self) -> str:
        """Return the last lines of its log, indented."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines)

    def ask_to_stop(self) -> None:
        """Send the stop signal, without waiting."""
        if self.exit_code() is None:
            self._process.send_signal(self._program.stop_signal)

    def stop(self) -> None:
        """Stop it, with increasingly strong signals."""
        self.ask_to_stop()
        for signal_ in (self._program.insist_signal, signal.SIGKILL):
            try:
                self._process.wait(self._program.patience)
            except subprocess.TimeoutExpired:
                if self.exit_code() is None:
                    os.killpg(self.pid, signal_)
        self._process.wait()


def start(program: Program, folder: DataFolder) -> Child:
    """Start a program in its own session, with its own log.

    Raises:
        DemoError: it cannot be executed.
    """
    log = keep_log(program, folder)
    with log.open("wb") as stream:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                program.command,
                stdin=subprocess.DEVNULL if program.given is None else subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=program.cwd or folder.path,
                env={**os.environ, **program.environment},
                # Ctrl-C must reach only the demo, which then stops its children in order.
                start_new_session=True,
                preexec_fn=tied_to_parent(program.orphan_signal),
                **(program.user.as_popen_arguments() if program.user else {}),
            )
        except OSError as error:
            raise DemoError(f"{program.command[0]} cannot be run: {error.strerror}.") from error
    if program.given is not None and process.stdin is not None:
        with process.stdin as stream:
            stream.write(program.given)
    record(process.pid, program, folder)
    return Child(program, process, log)


def keep_log(program: Program, folder: DataFolder) -> Path:
    """Return the path of a program's log, and rotate that of its last run."""
    log = folder.sub("logs") / f"{program.name}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    return log


def wait_until(
    is_ready: Callable[[], bool], children: Iterable[Child], what: str, *, seconds: float
) -> None:
    """Wait until something is ready, while all children run.

    Raises:
        DemoError: a child ended, or it was not ready in time.
    """
    deadline = time.monotonic() + seconds
    while not is_ready():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise DemoError(f"It took too long until {what} was ready.")
        time.sleep(0.05)


def tied_to_parent(signal_: signal.Signals) -> Any:
    """Return a preexec function that requests a signal when the parent dies."""
    if _LIBC is None:
        return None
    parent = os.getpid()

    def tie() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(signal_))
        if os.getppid() != parent:
            os._exit(1)

    return tie


def record(pid: int, program: Program, folder: DataFolder) -> None:
    """Record a process, so that the next start can end it as an orphan."""
    known = {"pid": pid, "mark": start_mark(pid), "signal": int(program.orphan_signal)}
    write_whole(folder.sub("run") / f"{program.name}.json", json.dumps(known))


def end_orphans(folder: DataFolder) -> list[str]:
    """End the processes that a killed demo left; return their names."""
    ended = []
    for file in sorted(folder.sub("run").glob("*.json")):
        known = json.loads(file.read_text())
        if known["mark"] and start_mark(known["pid"]) == known["mark"]:
            end(known["pid"], known["mark"], signal.Signals(known["signal"]), patience=5.0)
            ended.append(file.stem)
        file.unlink()
    return ended
