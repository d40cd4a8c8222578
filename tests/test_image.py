"""The image's build steps, without an engine; tests/compose runs them with one."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import django
import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
DOCKERFILE = (ROOT / ".docker" / "Dockerfile").read_text().replace("\\\n", " ")
SITE_PACKAGES = Path(django.__file__).parents[1]
PRUNED = ("allauth", "botocore", "django", "ninja", "numpy", "pip", "pyarrow", "pygments")
# Packages find these by a relative path.
BESIDE = ("numpy.libs",)
# As compile_loaded.py, which also compiles, and parts that read files that may be gone.
USE_ALL = """
import pkgutil
from importlib import import_module
import django
django.setup()
for package in ("backups_portal", "snapshots", "restores"):
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        import_module(module.name)
import botocore.session, pyarrow
botocore.session.Session().create_client("s3", region_name="eu-central-1")
print(pyarrow.__file__)
"""


def in_the_build(program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with only the settings that the Dockerfile makes up for the build."""
    (exported,) = re.findall(r"^RUN (export .*?) && ", DOCKERFILE, re.MULTILINE)
    return subprocess.run(
        ["sh", "-c", f'{exported} && exec "$0" -c "$1"', sys.executable, program],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_made_up_settings_of_the_build_are_accepted() -> None:
    done = in_the_build("import django; django.setup()")
    assert done.returncode == 0, done.stderr


def test_what_is_pruned_is_not_missed(tmp_path: Path) -> None:
    if not (SITE_PACKAGES / "pip").is_dir():
        pytest.skip("this environment was made without pip, which the image's has at first")
    for name in (*PRUNED, *BESIDE):
        # Links suffice: the script removes files and makes links, but writes into no file.
        copytree(SITE_PACKAGES / name, tmp_path / name, copy_function=os.symlink)
    (tmp_path / "pip-1.dist-info").mkdir()
    subprocess.run([ROOT / ".docker" / "prune-packages.sh", tmp_path], check=True)
    done = in_the_build(USE_ALL, PYTHONPATH=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(tmp_path))


# PostgreSQL's image sources a script with bash if a copy has lost its mode, and runs it otherwise.
@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("script", sorted(ROOT.glob(".docker/*.sh")), ids=lambda path: path.name)
def test_its_scripts_are_read_by_either_shell(script: Path, shell: str) -> None:
    read = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
