"""The demo's data folder, locked for one demo at a time."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backups_portal.demo.errors import DemoError
from backups_portal.demo.ports import free_port, is_free


@dataclass(frozen=True)
class DataFolder:
    """The folder at `path` with everything that a demo keeps."""

    path: Path

    def sub(self, name: str) -> Path:
        """Return a subfolder with mode 700, creating it if missing."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def keep(self, name: str, make: Callable[[], str] = secrets.token_hex) -> str:
        """Return the stored secret of this name, creating it if missing."""
        file = self.sub("secrets") / name
        if not file.is_file():
            write_whole(file, make())
        return file.read_text()

    def keep_port(self, name: str) -> int:
        """Return a service's previous port, or a new one if it is taken."""
        file = self.sub("run") / f"{name}.port"
        if file.is_file() and is_free(port := int(file.read_text())):
            return port
        port = free_port()
        write_whole(file, str(port))
        return port


def write_whole(file: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


@contextmanager
def opened(path: Path) -> Iterator[DataFolder]:
    """Open the folder for this process alone, creating it if missing.

    Raises:
        DemoError: it is not writable, or another demo uses it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # The lock is released when its process ends, however it ends; the file may stay.
        lock = (path / "demo.lock").open("a+")
    except OSError as error:
        raise DemoError(
            f"The data folder {path} cannot be written to ({error.strerror}): "
            "choose another one with --data-dir."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise DemoError(
                f"Another demo (process {lock.read().strip() or 'unknown'}) uses {path}: "
                "stop that one, or choose another folder with --data-dir."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield DataFolder(path)
