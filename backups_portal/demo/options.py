"""What the demo can be told."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8000
DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "var"


@dataclass(frozen=True)
class Options:
    """How to run the demo. `data` names a folder of CSV files for the story."""

    port: int
    data_dir: Path
    story: bool
    empty: bool
    data: Path | None


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the demo's options."""
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="the portal's port (default %(default)s)"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help="where everything is kept (default var/)",
    )
    parser.add_argument(
        "--story", action="store_true", help="run the whole story once, print it, and exit"
    )
    parser.add_argument("--empty", action="store_true", help="seed accounts only, no projects")
    parser.add_argument(
        "--data", type=Path, metavar="PATH", help="a folder of CSV files for the story"
    )


def from_namespace(values: Namespace) -> Options:
    """The options that were given, with an absolute folder."""
    return Options(
        port=values.port,
        data_dir=values.data_dir.expanduser().absolute(),
        story=values.story,
        empty=values.empty,
        data=values.data,
    )


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65534:
        raise ValueError
    return port
