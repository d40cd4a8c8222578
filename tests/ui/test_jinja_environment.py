"""Guarantees of the environment for all templates."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import engines
from django.test import RequestFactory
from jinja2 import nodes

from backups_portal.ui.jinja_environment import FILTERS, querystring

TEMPLATES = Path(settings.BASE_DIR) / "templates"
ENVIRONMENT = engines["jinja2"].env  # type: ignore[attr-defined]
TEXTS = {
    name: (TEMPLATES / name).read_text()
    for name in sorted(ENVIRONMENT.list_templates(extensions=["html", "txt"]))
}


# One test for all templates, and its failure lists the bad ones: a test per template took longer.
def test_templates_are_read_and_all_that_they_import_is_there() -> None:
    missing = []
    for name, text in TEXTS.items():
        ENVIRONMENT.get_template(name)
        for statement in ENVIRONMENT.parse(text).find_all(nodes.FromImport):
            assert isinstance(statement.template, nodes.Const), name
            module = ENVIRONMENT.get_template(statement.template.value).module
            missing += [(name, one) for one in statement.names if not hasattr(module, str(one))]
    assert missing == []


def test_pages_escape_all_that_they_show_and_texts_nothing() -> None:
    open_ones = {name for name, text in TEXTS.items() if "autoescape false" in text}
    assert open_ones == {name for name in TEXTS if name.endswith(".txt")}
    assert [name for name, text in TEXTS.items() if re.search(r"\|\s*safe\b|Markup", text)] == []


def test_words_of_two_lines_do_not_run_together() -> None:
    """The environment removes the newline after a tag, and the blanks before one."""
    running = re.compile(r"\w\{% end\w+ %\}\n\s*\{% (?:if|for) [^%]*%\}\w")
    assert [name for name, text in TEXTS.items() if running.search(text)] == []


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
    intcomma = FILTERS["intcomma"]
    assert intcomma(1234567) == "1,234,567"
    assert intcomma(None) == intcomma(ENVIRONMENT.undefined()) == "\N{EM DASH}"
