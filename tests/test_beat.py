"""Beat's own Celery application."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings

from backups_portal.celery_settings import CELERY_BEAT_SCHEDULE
from backups_portal.lib.monotonic import SteadyScheduler

ROOT = Path(settings.BASE_DIR)
LOADED = """
import sys
from backups_portal.beat import app
from celery.apps.beat import Beat
Beat(app=app).init_loader()
import backups_portal.lib.monotonic
print(*sorted({name.partition(".")[0] for name in sys.modules} | set(app.tasks)))
print(*sorted(app.conf.beat_schedule))
print(app.amqp.router.route({}, "backups_portal.ops.tasks.tick")["queue"].name)
"""


def test_beat_sends_all_and_loads_little() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded, schedule, queue = done.stdout.splitlines()
    assert not {"pyarrow", "numpy", "ninja", "allauth", "snapshots"} & set(loaded.split())
    assert schedule.split() == sorted(CELERY_BEAT_SCHEDULE)
    assert queue == "system"


def test_beat_goes_on_when_its_file_cannot_be_touched_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that fails must not end the schedule, but a wrong setting is told at once."""
    folder = tmp_path / "beat"
    folder.mkdir()
    app = Celery("empty", set_as_current=False, fixups=[])
    scheduler = SteadyScheduler(app, schedule_filename=str(folder / "schedule"))
    (folder / "schedule").unlink()
    folder.rmdir()
    assert scheduler.tick() > 0
    assert "beat/schedule cannot be touched: No such file or directory" in caplog.text
    with pytest.raises(SystemExit, match="beat cannot write"):
        SteadyScheduler(app, schedule_filename=str(folder / "schedule"))
