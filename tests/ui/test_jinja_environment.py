"""Guarantees of the environment for all templates."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import engines
from django.test import RequestFactory
from jinja2 import nodes

from backups_portal.ui.jinja_environment import intcomma, querystring

TEMPLATES = Path(settings.BASE_DIR) / "templates"
ENVIRONMENT = engines["jinja2"].env  # type: ignore[attr-defined]
NAMES = sorted(ENVIRONMENT.list_templates(extensions=["html", "txt"]))


@pytest.mark.parametrize("name", NAMES)
def test_template_is_read_and_all_that_it_imports_is_there(name: str) -> None:
    ENVIRONMENT.get_template(name)
    parsed = ENVIRONMENT.parse((TEMPLATES / name).read_text())
    for statement in parsed.find_all(nodes.FromImport):
        assert isinstance(statement.template, nodes.Const)
        module = ENVIRONMENT.get_template(statement.template.value).module
        assert [one for one in statement.names if not hasattr(module, str(one))] == []


@pytest.mark.parametrize("name", NAMES)
def test_page_escapes_all_that_it_shows_and_a_text_nothing(name: str) -> None:
    text = (TEMPLATES / name).read_text()
    assert ("autoescape false" in text) == name.endswith(".txt")
    assert not re.search(r"\|\s*safe\b|Markup", text)


@pytest.mark.parametrize("name", NAMES)
def test_words_of_two_lines_do_not_run_together(name: str) -> None:
    """The environment removes the newline after a tag, and the blanks before one."""
    text = (TEMPLATES / name).read_text()
    assert not re.search(r"\w\{% end\w+ %\}\n\s*\{% (?:if|for) [^%]*%\}\w", text)


def test_values_are_escaped_in_templates_macros_and_attributes() -> None:
    source = """
    {% from "_components/alert.html" import alert %}
    {% from "_components/crumbs.html" import crumb %}
    {{ bad }}{{ alert(kind="info", title=bad, text=bad) }}{{ crumb(bad, bad) }}
    """
    assert ENVIRONMENT.autoescape is True
    shown = ENVIRONMENT.from_string(source).render(bad="\"'<b>")
    assert "<b>" not in shown
    assert shown.count("&#34;&#39;&lt;b&gt;") == 5


@pytest.mark.parametrize(
    ("changes", "query"),
    [
        ({"page": 3}, "?q=a+b&page=3"),
        ({"page": None}, "?q=a+b"),
        ({"q": None, "page": None}, "?"),
        ({"day": "2026-03-01"}, "?page=2&q=a+b&day=2026-03-01"),
    ],
)
def test_query_keeps_what_is_not_changed(changes: dict[str, object], query: str) -> None:
    request = RequestFactory().get("/?page=2&q=a+b")
    assert querystring(request, **changes) == query


def test_number_that_is_not_known_is_a_dash() -> None:
    assert intcomma(1234567) == "1,234,567"
    assert intcomma(None) == intcomma(ENVIRONMENT.undefined()) == "\N{EM DASH}"
