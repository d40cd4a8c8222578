"""What holds for every page: nothing inline, nothing from elsewhere, errors explained."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client

from tests import factories

TEMPLATES = Path(settings.BASE_DIR) / "templates"
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|hx-on|<script(?![^>]*\ssrc=)", re.IGNORECASE)
ELSEWHERE = re.compile(r"""(?:src|href|action)=["'](?:https?:)?//""")


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_template_keeps_to_the_content_policy(path: Path) -> None:
    text = path.read_text()
    assert not INLINE.search(text)
    assert not ELSEWHERE.search(text)


@pytest.mark.parametrize("library", ["tabler", "htmx"])
def test_vendored_library_names_version_and_licence(library: str) -> None:
    folder = Path(settings.BASE_DIR) / "static" / "vendor" / library
    assert (folder / "VERSION").read_text().strip()
    assert "Permission" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "500"])
def test_error_page_needs_no_request(name: str) -> None:
    assert "To your projects" in render_to_string(f"{name}.html")


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
    assert "There is nothing here" in response.content.decode()
