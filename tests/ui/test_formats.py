"""The text of amounts, sizes, durations and moments."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain

import pytest
from django.conf import settings

from backups_portal.ui import formats

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
# A value, and a plural that it counts.
PLURAL = re.compile(
    r"\} (?:\w+ )?(?:backups|bytes|copies|databases|days|devices|events|folders|keys|manifests"
    r"|objects|projects|rows)\b"
)


def plain(text: str) -> str:
    return text.replace(formats.NO_BREAK, " ")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (1_048_524, "1,023.9 KiB"),
        (1_048_525, "1.0 MiB"),
        (65_011_712, "62.0 MiB"),
        (5 * 1024**6, "5,120.0 PiB"),
    ],
)
def test_size_has_a_binary_unit(size: int, text: str) -> None:
    assert plain(formats.data_size(size)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (72, "1 min 12 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert plain(formats.duration(timedelta(seconds=seconds))) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.0680", "0.068 USD"),
        ("25.0000", "25.00 USD"),
        ("1000", "1,000.00 USD"),
        ("0", "0.00 USD"),
    ],
)
def test_price_shows_every_digit_that_counts(amount: str, text: str) -> None:
    assert plain(formats.price(Decimal(amount), "USD")) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234.5", "USD", "1,234.50 USD"),
        ("1234", "JPY", "1,234 JPY"),
        ("1234.5", "KWD", "1,234.500 KWD"),
    ],
)
def test_money_has_the_digits_of_its_currency(amount: str, currency: str, text: str) -> None:
    assert plain(formats.money(Decimal(amount), currency)) == text
    assert plain(formats.price(Decimal(amount), currency)) == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (None, "1 Jul 2026, 12:00:00 UTC"),
        ("Europe/Berlin", "1 Jul 2026, 14:00:00 CEST"),
        ("America/Sao_Paulo", "1 Jul 2026, 09:00:00 UTC\N{MINUS SIGN}03"),
    ],
)
def test_moment_is_told_on_the_clocks_of_its_zone(zone: str | None, text: str) -> None:
    assert formats.full(formats.local(NOON, zone)) == text


@pytest.mark.parametrize(
    ("year", "text"),
    [(2026, "1 Jul, 12:00"), (2027, "1 Jul 2026, 12:00"), (None, "1 Jul 2026, 12:00")],
)
def test_this_year_is_not_said(year: int | None, text: str) -> None:
    assert formats.day_and_time(NOON, this_year=year) == text


def test_commands_count_in_the_singular_too() -> None:
    """A number before a plural would print “1 backups”; `count` does not."""
    apps = ("backups_portal", "restores", "snapshots")
    sources = list(
        chain.from_iterable((settings.BASE_DIR / app).glob("**/management/**/*.py") for app in apps)
    )
    assert len(sources) > 20
    assert [found[0] for one in sources for found in PLURAL.finditer(one.read_text())] == []
