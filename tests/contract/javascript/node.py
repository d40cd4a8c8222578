"""Scripts that run the official JavaScript SDK, with Node."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SECONDS = 120


def require_node() -> None:
    """Skip if Node or the SDK is missing; fail in CI, which installs them."""
    if shutil.which("node") and (HERE / "node_modules/@tago-io/sdk").is_dir():
        return
    missing = f"Node or the SDK is missing: run `npm ci` in {HERE.relative_to(HERE.parents[2])}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def run(script: str, **environment: str) -> Any:
    """Run a script that must succeed; return its output, parsed as JSON."""
    done = subprocess.run(
        ["node", script],
        cwd=HERE,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
