"""The peer of a transfer: the official Python SDK doing the same migration through the API."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from backups_portal.demo.ports import free_port
from tests.benchmarks.apisetup import serve
from tests.benchmarks.cluster import Source

# The most that the API returns and takes at a time.
PAGE = 10_000
PATIENCE = 60.0


@contextmanager
def served() -> Iterator[str]:
    """The base URL of the API, served as in production by a process of its own."""
    port = free_port()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "backups_portal.tagoio_api.asgi"),
            f"--bind=127.0.0.1:{port}",
            "--worker-class=backups_portal.lib.gunicorn_worker.Worker",
            *("--workers=1", "--no-control-socket", "--graceful-timeout=2"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url)
        yield url
    finally:
        server.terminate()
        server.wait()


def _wait(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()  # noqa: S310
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the API did not start")


def migrate_devices(source: Source, target: Source, devices: int) -> tuple[int, float]:
    """Copy some devices with the SDK; how many records, and how long it took in seconds."""
    from tagoio_sdk import Resources

    old, new = serve(source).profile_token, serve(target).profile_token
    with served() as url:
        region = {"api": url, "sse": f"{url}/events"}
        left = Resources({"token": old, "region": region})
        right = Resources({"token": new, "region": region})
        found = left.devices.listDevice({"page": 1, "amount": devices, "fields": ["id", "name"]})
        began, copied = time.monotonic(), 0
        for device in found:
            made = right.devices.create({"name": device["name"], "type": "mutable"})
            copied += _copy_records(left, right, device["id"], made["device_id"])
        return copied, time.monotonic() - began


def _copy_records(left: object, right: object, old: str, new: str) -> int:
    copied = 0
    while True:
        records = left.devices.getDeviceData(  # type: ignore[attr-defined]
            old, {"qty": PAGE, "skip": copied, "ordination": "ascending"}
        )
        if records:
            right.devices.sendDeviceData(new, records)  # type: ignore[attr-defined]
        copied += len(records)
        if len(records) < PAGE:
            return copied
