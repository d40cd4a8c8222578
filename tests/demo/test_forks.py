"""Work that the demo does in forks of its own process."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError

from backups_portal.demo.child_processes import Child, Program, end_orphans
from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.errors import DemoError
from backups_portal.demo.forked_program import fork
from backups_portal.demo.forked_work import run_forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


def module(folder: Path, text: str, *arguments: str) -> Program:
    """Return a program of one module, whose fork finds no sign of the parent."""
    (folder / "forked_example.py").write_text(text)
    command = [sys.executable, "-m", "forked_example", *arguments]
    return Program(name="example", command=command, cwd=folder)


def end_of(child: Child) -> int | None:
    deadline = time.monotonic() + 20
    while child.exit_code() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return child.exit_code()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.syspath_prepend(str(tmp_path))
    with opened(tmp_path / "data") as made:
        return made


def test_a_forked_program_is_as_one_that_was_started(folder: DataFolder, tmp_path: Path) -> None:
    kept = os.open(os.devnull, os.O_RDONLY)
    text = (
        "import json, os, signal, sys\n"
        "print(json.dumps({'argv': sys.argv[1:], 'cwd': os.getcwd(), 'session': os.getsid(0),\n"
        "    'files': sorted(map(int, os.listdir('/proc/self/fd')))[:-1],\n"
        "    'term': signal.getsignal(signal.SIGTERM) == signal.SIG_DFL}))\n"
        "sys.exit(3)\n"
    )
    child = fork(module(tmp_path, text, "--word"), folder)
    os.close(kept)
    assert end_of(child) == 3
    assert json.loads(child.log.read_text()) == {
        "argv": ["--word"],
        "cwd": str(tmp_path),
        "session": child.pid,
        "files": [0, 1, 2],
        "term": True,
    }
    with pytest.raises(DemoError, match=r"example process ended by itself \(exit code 3\)"):
        child.check()


def test_what_a_forked_program_raises_is_in_its_log(folder: DataFolder, tmp_path: Path) -> None:
    child = fork(module(tmp_path, "raise ValueError('a fault')"), folder)
    assert end_of(child) == 1
    assert "ValueError: a fault" in child.log.read_text()


def test_a_forked_program_is_found_again_and_ended(folder: DataFolder, tmp_path: Path) -> None:
    child = fork(module(tmp_path, "import time; time.sleep(60)"), folder)
    assert end_orphans(folder) == ["example"]
    assert child.exit_code() == -signal.SIGTERM


def fail() -> None:
    raise DemoError("there is no room")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "static/app.css")


def fill_the_disk_of_the_database() -> None:
    raise OperationalError("no room") from psycopg.errors.DiskFull("could not extend file")


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (fail, "there is no room"),
        (fill_the_disk, r"^static/app\.css: No space left on device$"),
        (fill_the_disk_of_the_database, r"^The portal's database has refused: no room\.$"),
        (die, r"exit code -9"),
    ],
)
def test_work_that_fails_is_told(work: Callable[[], None], sentence: str) -> None:
    with pytest.raises(DemoError, match=sentence):
        run_forked(work)


def test_work_leaves_nothing_in_this_process() -> None:
    kept: list[int] = []
    run_forked(lambda: kept.append(1))
    assert kept == []


PREPARED = """
import logging
import django
django.setup()
logging.getLogger().setLevel(logging.WARNING)
from backups_portal.demo.forked_program import prepare_to_fork
prepare_to_fork()
print(logging.getLevelName(logging.getLogger().level))
"""


def test_the_story_is_told_without_log_lines() -> None:
    """Loading the portal leaves the level, above which the demo tells sentences only."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARED],
        cwd=settings.BASE_DIR,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "WARNING\n", done.stderr
