"""The modules that every process of the portal loads, whatever its purpose."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

LOADED = """
import sys
import django
django.setup()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_models_load_no_engine() -> None:
    """It would cost commands that read no row 40 MB and a quarter of a second."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=settings.BASE_DIR,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "psycopg" in loaded
    assert not {"pyarrow", "numpy", "obstore", "botocore", "ninja"} & loaded


@pytest.mark.parametrize(
    ("output", "said"), [("/dev/full", "No space left on device"), ("", "Broken pipe")]
)
def test_a_command_that_cannot_write_says_why(output: str, said: str) -> None:
    with open(output, "wb") if output else os.fdopen(broken_pipe(), "wb") as out:
        done = subprocess.run(
            [sys.executable, "manage.py", "verify_evidence", "--print-key"],
            cwd=settings.BASE_DIR,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.stderr.splitlines()[-1] == f"backups-portal: cannot write: {said}"
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def broken_pipe() -> int:
    """Return the writing end of a pipe whose reader has ended, as after `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_ctrl_c_ends_a_command_quietly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = subprocess.Popen(
        [sys.executable, "manage.py", "verify_evidence", str(pipe)],
        cwd=settings.BASE_DIR,
        stderr=subprocess.PIPE,
        text=True,
    )
    # This waits until the command opens the other end, and is in the middle of its work. Closing it
    # ends a read that began just behind the signal, which Python notices only afterwards.
    with pipe.open("wb"):
        command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=30)
    assert (said, command.returncode) == ("backups-portal: stopped by Ctrl-C\n", 130)
