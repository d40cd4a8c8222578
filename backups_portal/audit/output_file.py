"""The file that a command writes in place of standard output."""

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path

from django.core.management.base import CommandError


def add_output_argument(parser: ArgumentParser) -> None:
    """Add `--output`, a file to write; None by default."""
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="a new file; else standard output"
    )


def write_new_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file; delete it if writing fails.

    Raises:
        CommandError: the file exists already, or cannot be written.
    """
    try:
        with path.open("xb") as file:
            try:
                file.writelines(pieces)
                file.flush()
            except BaseException:
                path.unlink()
                raise
    except FileExistsError as error:
        raise CommandError(f"{path} is there already. Name a new file.") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
