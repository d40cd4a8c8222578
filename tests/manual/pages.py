"""The manual's commands: in fences of `sh`, and between backticks."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / ".github" / "docs").glob("*.md"))]
FENCE = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Matches shell commands, but not the bare name of a manage.py command.
INLINE = re.compile(
    r"`((?:(?:docker-compose|kubectl|cp|head) |\.docker/[\w-]+\.sh|\.ci/\w+)[^`\n]*)`"
)


@dataclass(frozen=True)
class Printed:
    """A command, or a fence of several, and its page."""

    page: str
    text: str


def printed() -> list[Printed]:
    """Return every command of the manual in order."""
    found = []
    for page in PAGES:
        text = page.read_text()
        fences = [(match.start(), match[1]) for match in FENCE.finditer(text)]
        outside = re.sub(r"^```.*?^```", _blank, text, flags=re.DOTALL | re.MULTILINE)
        inline = [(match.start(), match[1]) for match in INLINE.finditer(outside)]
        found += [Printed(page.name, command) for _, command in sorted(fences + inline)]
    return found


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def fence(page: str, beginning: str) -> str:
    """Return a page's fence with this beginning."""
    (found,) = [
        one.text for one in printed() if one.page == page and one.text.startswith(beginning)
    ]
    return found
