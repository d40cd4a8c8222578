"""Keep modules findable by name, short, and few to a folder, and docstrings uniform."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("backups_portal", "snapshots", "restores")
# Names that Django and the interfaces of web servers prescribe.
FRAMEWORK = frozenset(
    {"models", "views", "urls", "forms", "tasks", "apps", "errors", "settings"}
    | {"middleware", "admin", "asgi", "wsgi"}
)
# The same entity in several packages: its rows, its routes, its pages.
ENTITIES = frozenset(
    {"analyses", "api", "backups", "devices", "files", "profile_tokens"} | {"reference_page"}
)
MAX_LINES = 400
MAX_FIRST_LINE = 72
MAX_ENTRIES = 20
CROWDED = ("snapshots", "backups_portal/transfers", "backups_portal/tagoio_api")


def modules() -> list[Path]:
    """Return the modules of the three packages, without migrations."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in found if "migrations" not in path.parts)


def test_a_module_has_a_name_of_its_own() -> None:
    named = defaultdict(list)
    for path in modules():
        named[path.stem].append(str(path.relative_to(ROOT)))
    twice = {
        name: paths
        for name, paths in named.items()
        if len(paths) > 1 and name not in FRAMEWORK | ENTITIES | {"__init__"}
    }
    assert not twice, (
        f"Give each module a name that is found once, or name its entity in ENTITIES: {twice}"
    )
    assert {name for name in ENTITIES if len(named[name]) < 2} == set()


def test_no_module_is_long() -> None:
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in modules()}
    assert {str(path): count for path, count in lines.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize("folder", CROWDED)
def test_a_folder_reads_as_a_table_of_contents(folder: str) -> None:
    entries = [path.name for path in (ROOT / folder).iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


def first_lines(path: Path) -> list[str]:
    """Return the first lines of the docstrings of a module's functions."""
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    documented = filter(None, map(ast.get_docstring, functions))
    return [text.splitlines()[0] for text in documented]


def test_a_docstring_begins_with_a_short_sentence() -> None:
    long = {
        f"{path.relative_to(ROOT)}: {line}"
        for path in modules()
        for line in first_lines(path)
        if len(line) > MAX_FIRST_LINE
    }
    assert long == set()


def test_a_docstring_begins_with_a_verb() -> None:
    """Ruff checks functions (D401), but not properties."""
    nouns = {
        f"{path.relative_to(ROOT)}: {line}"
        for path in modules()
        for line in first_lines(path)
        if line.split()[0] in {"A", "All", "An", "Its", "The", "Whether"}
    }
    assert nouns == set()
