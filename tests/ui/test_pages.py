"""Rules for every page: nothing inline, nothing from elsewhere, errors explained."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client

from tests import factories

TEMPLATES = Path(settings.BASE_DIR) / "templates"
# An e-mail is not a page: it has no content security policy, and brings its styles along.
PAGES = sorted(set(TEMPLATES.rglob("*.html")) - {TEMPLATES / "notifications" / "digest.html"})
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|hx-on|<script(?![^>]*\ssrc=)", re.IGNORECASE)
ELSEWHERE = re.compile(r"""(?:src|href|action)=["'](?:https?:)?//""")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_template_keeps_to_the_content_policy(path: Path) -> None:
    text = path.read_text()
    assert not INLINE.search(text)
    assert not ELSEWHERE.search(text)


@pytest.mark.parametrize("library", ["tabler", "htmx"])
def test_vendored_library_names_version_and_licence(library: str) -> None:
    folder = Path(settings.BASE_DIR) / "static" / "vendor" / library
    assert (folder / "VERSION").read_text().strip()
    assert "Permission" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "403_origin", "404", "500"])
def test_error_page_needs_no_request(name: str) -> None:
    assert "Go to your projects" in render_to_string(f"{name}.html")


def test_every_icon_is_used_and_every_one_that_is_used_is_there() -> None:
    root = Path(settings.BASE_DIR)
    icons = {path.stem for path in (TEMPLATES / "_components" / "icons").glob("*.svg")}
    texts = [
        path.read_text()
        for folder in (TEMPLATES, root / "backups_portal", root / "snapshots", root / "restores")
        for path in folder.rglob("*")
        if path.suffix in (".html", ".py")
    ]
    quoted = set(re.findall(r'"([a-z0-9-]+)"', "\n".join(texts)))
    named = set(re.findall(r'icon(?:_name=|\()"([a-z0-9-]+)"', "\n".join(texts)))
    assert icons <= quoted
    assert named <= icons


class TestStyles:
    CSS = (Path(settings.BASE_DIR) / "static" / "css" / "portal.css").read_text()

    def colours(self, name: str) -> tuple[str, str]:
        """Return a colour in light and in dark."""
        found = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\);", self.CSS)
        assert found
        return found[1], found[2]

    @pytest.mark.parametrize("behind", ["page-bg", "surface", "surface-sunk"])
    @pytest.mark.parametrize("theme", [0, 1])
    def test_the_ring_of_focus_is_seen(self, behind: str, theme: int) -> None:
        """WCAG 2.2, 1.4.11: 3 to 1 against adjacent colours."""
        assert "--tblr-focus-ring: 2px solid var(--accent);" in self.CSS
        ring, ground = self.colours("accent")[theme], self.colours(behind)[theme]
        assert contrast(ring, ground) >= 3

    def test_tables_are_cards_on_small_screens_and_not_on_paper(self) -> None:
        rule = self.CSS.index(".table-stack > thead")
        around = self.CSS[:rule].rsplit("@media", 1)[1].split("{")
        assert around[0].strip() == "screen"
        assert around[1].strip().startswith("@container page (max-width")


def contrast(one: str, other: str) -> float:
    """Compute the contrast ratio as WCAG defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Compute the luminance of #rgb or #rrggbb, from 0 to 1."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.django_db
def test_policy_forbids_inline_code_and_other_hosts(client: Client) -> None:
    policy = client.get("/sign-in/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.django_db
def test_expired_form_is_explained() -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/sign-in/", {"username": "a@example.com", "password": "x"})
    assert response.status_code == 403
    assert "This form has expired" in response.content.decode()


@pytest.mark.django_db
def test_unknown_address_is_explained(client: Client) -> None:
    client.force_login(factories.make_account())
    response = client.get("/no/such/page/")
    assert response.status_code == 404
    assert "Page not found" in response.content.decode()
