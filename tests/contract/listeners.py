"""External analyses that wait for their triggers."""

import subprocess
import time

import pytest

SECONDS = 120


def wait_until_listening(listener: "subprocess.Popen[str]") -> None:
    """Wait until the SDK reports that its stream is open."""
    assert listener.stdout is not None
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        line = listener.stdout.readline()
        if "Waiting for analysis trigger" in line:
            return
        assert line or listener.poll() is None, "the analysis ended before it was asked to run"
    pytest.fail("the analysis never listened")
