"""Checkouts of this version, and of the previous one."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# An operator's checkout has these in addition to the version's files.
KEPT = {".env", ".secrets"}
MIGRATIONS = "*/migrations/*.py"
# Always taken from this version while no version has a tag: earlier images could not be built.
HOW_IMAGES_ARE_BUILT = (".docker", ".dockerignore")


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    return b"" if done.returncode else done.stdout


def newest_tag() -> str:
    """Return the newest tag of an earlier version, or nothing."""
    return _git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^").decode().strip()


def before_the_newest_migration() -> str:
    """Return the commit before the newest migration, or nothing without the history."""
    newest = _git("log", "-1", "--format=%H", "--", MIGRATIONS).decode().strip()
    return _git("rev-parse", "--verify", "--quiet", f"{newest}^").decode().strip()


def check_out_previous(folder: Path) -> bool:
    """Put the previous version into a folder; return whether there is one."""
    tag = newest_tag()
    commit = tag or before_the_newest_migration()
    if not commit:
        return False
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(folder, filter="data")
    if not tag:
        for name in HOW_IMAGES_ARE_BUILT:
            _replace(folder / name, ROOT / name)
    return True


def check_out_this(folder: Path) -> None:
    """Put this version into a folder, as `git checkout` does over an older one."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _replace(target: Path, source: Path) -> None:
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
