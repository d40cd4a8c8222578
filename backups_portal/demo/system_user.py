"""The user of services if root runs the demo; PostgreSQL refuses root."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backups_portal.demo.errors import DemoError

NAME = "backups-portal"
Say = Callable[[str], None]


@dataclass(frozen=True)
class SystemUser:
    """An unprivileged system user."""

    uid: int
    gid: int

    def as_popen_arguments(self) -> dict[str, Any]:
        """Return the arguments that make subprocess run a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, folder: Path) -> None:
        """Make this user the folder's owner."""
        os.chown(folder, self.uid, self.gid)


def service_user(used_before: Path) -> SystemUser | None:
    """Return the user to run services as; None if the demo's own will do.

    Args:
        used_before: A folder that the service user owns if the service has run before.

    Raises:
        DemoError: root runs this, and no other user exists.
    """
    if os.geteuid() != 0:
        return None
    if used_before.exists() and (owner := used_before.stat()).st_uid != 0:
        return SystemUser(owner.st_uid, owner.st_gid)
    if _find(NAME) is None:
        _create(NAME)
    found = _find(NAME) or _find("postgres") or _find("nobody")
    if found is None:
        raise DemoError(
            "PostgreSQL does not run as root, and there is no other user: create one with "
            f"`useradd --system {NAME}`, or set DATABASE_URL and REDIS_URL."
        )
    return found


def _find(name: str) -> SystemUser | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return SystemUser(entry.pw_uid, entry.pw_gid)


def _create(name: str) -> None:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    if shutil.which(command[0]):
        # If this fails, as in a read-only container, the caller falls back to another user.
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603


def make_reachable(user: SystemUser, paths: Iterable[Path], say: Say) -> None:
    """Let a user traverse the parents of each path, by "o+x" if needed."""
    opened = []
    for path in paths:
        for parent in reversed(path.resolve().parents):
            status = parent.stat()
            if status.st_uid != user.uid and not status.st_mode & stat.S_IXOTH:
                _add(parent, stat.S_IXOTH)
                opened.append(str(parent))
    if opened:
        say(f"Let other users pass through (chmod o+x): {', '.join(opened)}")


def make_readable(paths: Iterable[Path], say: Say) -> None:
    """Let every user read files, and folders with everything in them."""
    for path in paths:
        files = [path, *path.rglob("*")] if path.is_dir() else [path]
        closed = [file for file in files if not file.stat().st_mode & stat.S_IROTH]
        for file in closed:
            runs = file.stat().st_mode & stat.S_IXUSR
            _add(file, stat.S_IROTH | (stat.S_IXOTH if runs else 0))
        if closed:
            say(f"Let other users read (chmod o+rX): {path}")


def _add(path: Path, bits: int) -> None:
    path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)
