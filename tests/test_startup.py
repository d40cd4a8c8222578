"""The modules that every process of the portal loads, whatever its purpose."""

import os
import subprocess
import sys

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
