"""Progress in a terminal: bars if interactive, lines otherwise, nothing if silent."""

from dataclasses import dataclass
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management.base import OutputWrapper

from backups_portal.ui.terminal_progress import describe, progress_bar


@dataclass
class Step:
    step: str
    rows_done: int
    rows_total: int | None = 2_000
    bytes_done: int = 0
    bytes_total: int | None = None


WORK = [Step("loading", 0), Step("loading", 2_000), Step("proving", 500), Step("proving", 2_000)]


def show(stream: StringIO, *, silent: bool = False) -> str:
    with progress_bar(OutputWrapper(stream), silent=silent) as on_progress:
        for step in WORK:
            on_progress(step)
    return stream.getvalue()


def test_without_a_terminal_each_step_is_a_line() -> None:
    assert show(StringIO()).splitlines() == ["loading 2,000 rows", "proving 2,000 rows"]


def test_silent_is_silent() -> None:
    assert show(StringIO(), silent=True) == ""


def test_on_a_terminal_each_step_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    assert show(stream) == ""
    shown = capsys.readouterr().err
    assert "loading" in shown
    assert "2,000 of 2,000 rows" in shown


def test_rows_bytes_and_the_time_that_is_left() -> None:
    step = Step("loading", 500, 2_000, 25_600, 102_400)
    text = describe(step, timedelta(seconds=30)).replace("\N{NO-BREAK SPACE}", " ")
    assert text == "500 of 2,000 rows, 25.0 KiB of 100.0 KiB, about 1 min 30 s left"
    assert describe(Step("reading", 7, None), timedelta(seconds=30)) == "7 rows"
    assert describe(Step("reading", 1, None), timedelta(seconds=30)) == "1 row"
