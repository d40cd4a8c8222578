"""Check that links, anchors and names in the documents lead somewhere."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    """Return the Markdown files of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).exists()]


def without_code(text: str) -> str:
    """Remove code, in which brackets are no links."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a file's headings as GitHub makes them."""
    fenced = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    titles = re.findall(r"^#+ (.*)$", fenced, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(path: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    found = []
    for link in LINK.findall(without_code(path.read_text())):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    assert broken(path) == []


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    pages = {f".github/docs/{path.name}" for path in (ROOT / ".github" / "docs").iterdir()}
    assert pages <= set(LINK.findall(readme))


ARCHITECTURE = ROOT / ".github" / "ARCHITECTURE.md"
NAMED = re.compile(r"`([\w./]+\.(?:py|sql))`|`(\w+(?:\(\))?)`")


def definitions(path: Path) -> set[str]:
    """Return the functions and classes of a module, functions with `()`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(f"{node.name}()")
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
    return found


def test_the_walks_name_what_exists() -> None:
    """Find each file that a walk names, and what it names after the file, in that file."""
    _, _, walks = ARCHITECTURE.read_text().partition("\n## ")
    path = None
    wrong = []
    for file, name in NAMED.findall(walks):
        if file:
            path = ROOT / file
            if not path.is_file():
                wrong.append(f"{file} does not exist")
        elif path and path.suffix == ".py" and path.is_file() and name not in definitions(path):
            wrong.append(f"{path.relative_to(ROOT)} defines no {name}")
    assert not wrong, (
        "Name in .github/ARCHITECTURE.md the file and function that took over: " + "; ".join(wrong)
    )


def test_the_picture_has_every_package() -> None:
    _, picture, *_ = ARCHITECTURE.read_text().split("```")
    folders = [*(ROOT / "backups_portal").iterdir(), ROOT / "snapshots", ROOT / "restores"]
    packages = {folder.name for folder in folders if (folder / "__init__.py").exists()}
    drawn = {word for line in picture.splitlines() for word in re.findall(r"\w+", line[:33])}
    assert packages <= drawn


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_named_file_exists(path: Path) -> None:
    """Find each file that a document names in backticks by its path from the root."""
    named = set(re.findall(r"`((?:\w+|\.\w+)/[\w./-]+\.(?:py|sql|yml|json|sh))`", path.read_text()))
    assert {name for name in named if not (ROOT / name).exists()} == set()
