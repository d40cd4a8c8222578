"""The demo's command-line options."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import dataclass
from pathlib import Path

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "var"


@dataclass
class Options(Namespace):
    """The options of a run; `data` is a folder of CSV files for the story."""

    port: int = 8000
    data_dir: Path = DEFAULT_FOLDER
    story: bool = False
    empty: bool = False
    data: Path | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Add the demo's options to a parser."""
    parser.set_defaults(**vars(Options()))
    parser.add_argument("--port", type=_port, help="the portal's port (default %(default)s)")
    parser.add_argument(
        "--data-dir", type=_folder, metavar="DIR", help="where everything is kept (default var/)"
    )
    parser.add_argument(
        "--story", action="store_true", help="run the whole story once, print it, and exit"
    )
    parser.add_argument("--empty", action="store_true", help="seed accounts only, no projects")
    parser.add_argument(
        "--data", type=Path, metavar="PATH", help="a folder of CSV files for the story"
    )


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65534):
        raise ArgumentTypeError(f"“{text}” is not a number from 1 to 65534")
    return int(text)
