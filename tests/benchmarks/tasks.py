"""Starting workers and waiting for them, with an eye on their memory."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import resident_bytes
from tests.benchmarks.worker import READY, Request

ROOT = Path(__file__).resolve().parents[2]
LOOK_EVERY = 0.05


class Task:
    """A worker that is at a task."""

    def __init__(self, request: Request) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._answer() != READY:
            raise RuntimeError("the worker did not say that it is ready")
        if self._process.stdin:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.close()

    def _answer(self) -> str:
        line = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the worker ended with exit code {self._process.wait()}")
        return line

    @property
    def is_running(self) -> bool:
        """Whether it still works."""
        return self._process.poll() is None

    def finish(self) -> dict[str, Any]:
        """Wait for what the task returns; "peak_bytes" counts processes of its own as well.

        Raises:
            RuntimeError: it failed; its traceback has been printed.
        """
        peak = 0
        while self.is_running:
            peak = max(peak, resident_bytes(self._process.pid))
            time.sleep(LOOK_EVERY)
        result = json.loads(self._answer())
        return {**result, "peak_bytes": max(peak, result["peak_bytes"])}
