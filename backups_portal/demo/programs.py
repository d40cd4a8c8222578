"""The portal's processes as the demo runs them."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from backups_portal.demo.child_processes import Program
from backups_portal.demo.data_folder import DataFolder
from backups_portal.demo.ports import LOOPBACK, api_port

# Processes run here to find the code, wherever the demo was started.
ROOT = Path(__file__).resolve().parents[2]


def portal_programs(port: int, folder: DataFolder) -> list[Program]:
    """Return web server, API on the next port, workers and beat."""
    return [
        _server("web", "backups_portal.asgi", port),
        _server("api", "backups_portal.tagoio_api.asgi", api_port(port)),
        _worker("worker", "--concurrency=2"),
        # Keeps the schedule going while the other worker is busy.
        _worker("system", "--concurrency=1", "--queues=system"),
        _beat(folder),
    ]


def _server(name: str, application: str, port: int) -> Program:
    return Program(
        name=name,
        cwd=ROOT,
        command=_module(
            "gunicorn",
            application,
            f"--bind={LOOPBACK}:{port}",
            "--worker-class=backups_portal.lib.gunicorn_worker.Worker",
            "--workers=2",
            # Load the code once for both workers.
            "--preload",
            "--graceful-timeout=5",
            # Clients put many variables or ids in one URL; gunicorn's default is half of this.
            "--limit-request-line=8190",
            "--no-control-socket",
            "--access-logfile=-",
            "--logger-class=backups_portal.lib.access_log.AccessLogger",
        ),
    )


def _worker(name: str, *options: str) -> Program:
    return Program(
        name=name,
        cwd=ROOT,
        # Without gossip and mingle, a worker does not wait for others when it starts.
        command=_module(
            *("celery", "-A", "backups_portal"),
            *("worker", f"--hostname={name}@%h", *options),
            *("--without-gossip", "--without-mingle", "--loglevel=INFO"),
        ),
        # Drops a running backup; the schedule detects that and enqueues it again.
        insist_signal=signal.SIGQUIT,
        # If the demo was killed, Redis is gone, too, and without it no gentler stop ever finishes.
        orphan_signal=signal.SIGKILL,
        patience=5.0,
    )


def _beat(folder: DataFolder) -> Program:
    schedule = folder.sub("beat") / "schedule"
    return Program(
        name="beat",
        cwd=ROOT,
        command=_module(
            *("celery", "-A", "backups_portal.beat", "beat"),
            *(f"--schedule={schedule}", "--pidfile=", "--loglevel=INFO"),
        ),
    )


def _module(name: str, *arguments: str) -> Sequence[str]:
    # Run as a module of this Python, so that its scripts need not be on PATH.
    return [sys.executable, "-m", name, *arguments]
