"""What the README says of settings and commands is so."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

ROOT = Path(settings.BASE_DIR)
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """The text below a heading."""
    return re.split(r"^#+ ", README.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> set[str]:
    """The first words of a table's rows."""
    return set(re.findall(r"^\| `([\w]+)", text, flags=re.MULTILINE))


def test_every_setting_is_described() -> None:
    code = (ROOT / "backups_portal" / "settings.py").read_text()
    read = set(re.findall(r"(?:env\.\w+|required)\(\s*\"([A-Z_]+)\"", code))
    assert first_column(section("Settings")) == read


def test_every_command_is_described() -> None:
    ours = {
        name
        for name, app in get_commands().items()
        if app.startswith(("backups_portal", "snapshots", "restores"))
    }
    # Django's own, and the one with a section of its own.
    assert first_column(section("Commands")) - {"changepassword"} == ours - {"demo"}


@pytest.mark.parametrize("name", re.findall(r"\[[^]]*\]\(([^)]+)\)", README))
def test_links_lead_somewhere(name: str) -> None:
    assert (ROOT / name).exists()
