"""A forked module behaves as under `python -m`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.forked_modules import ModuleProcess
from tests.processes import end_group

PROGRAM = """
import json, os, sys, time
told = {
    "environment": dict(os.environ),
    "arguments": sys.argv[1:],
    "name": __name__,
    "leads": os.getpgid(0) == os.getpid(),
    "loaded": sorted(
        {name.partition(".")[0] for name in sys.modules}
        & {"backups_portal", "snapshots", "restores", "pytest", "wave", "celery"}
    ),
}
print(json.dumps(told), flush=True)
if sys.argv[1:] == ["stay"]:
    time.sleep(600)
sys.exit(3)
"""


def started(folder: Path, *arguments: str) -> ModuleProcess:
    (folder / "forked_example.py").write_text(PROGRAM)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "ONE": "1"}
    return ModuleProcess(["forked_example", *arguments], folder / "log", environment)


def test_it_has_its_own_arguments_and_environment_and_libraries_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter = ModuleType("__main__")
    starter.__file__ = str(tmp_path / "starter.py")
    (tmp_path / "starter.py").write_text("import wave")
    monkeypatch.setitem(sys.modules, "__main__", starter)
    process = started(tmp_path, "a", "b")
    assert process.wait(30) == process.poll() == 3
    assert json.loads((tmp_path / "log").read_text()) == {
        "environment": {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "ONE": "1"},
        "arguments": ["a", "b"],
        "name": "__main__",
        "leads": True,
        "loaded": ["celery"],
    }


def test_it_runs_until_it_is_ended(tmp_path: Path) -> None:
    process = started(tmp_path, "stay")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    assert process.poll() is None
    end_group(process)
    assert process.poll() == -signal.SIGKILL
