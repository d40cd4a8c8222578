"""Figures in the form of Prometheus, all of which begin with `backups_portal_`."""

from collections.abc import Iterable
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from backups_portal.lib.health import OK, UNAVAILABLE, UNKNOWN

# The age of something that was never seen.
NEVER = float("inf")
# There is no figure, or it is not known.
NONE = float("nan")


class _Collected:
    """Hands figures to a registry, which asks for them once."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition_of(metrics: Iterable[Metric]) -> bytes:
    """Write figures in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Collected(metrics))
    return generate_latest(registry)


def up(states: dict[str, str]) -> Metric:
    """Say of each part if it works: 1, 0, or NaN if that is not known.

    Args:
        states: OK, UNAVAILABLE or UNKNOWN by the part's name.
    """
    values = {OK: 1, UNAVAILABLE: 0, UNKNOWN: NONE}
    return labelled(
        "up",
        "1: it works; 0: it does not; NaN: not known. The storages are tried once a minute.",
        ["of"],
        [(name, values[state]) for name, state in states.items()],
    )


def gauge(name: str, text: str, value: float) -> Metric:
    """Make a figure without labels."""
    return GaugeMetricFamily(f"backups_portal_{name}", text, value=float(value))


def counted(
    name: str, text: str, rows: Iterable[tuple[Any, ...]], **labels: Iterable[str]
) -> Metric:
    """Count every combination of labels, 0 if there is none.

    So a rule need not tell 0 from nothing.
    """
    counts: dict[tuple[str, ...], Any] = dict.fromkeys(product(*labels.values()), 0)
    counts.update({tuple(values): count for *values, count in rows})
    return labelled(name, text, [*labels], [(*values, count) for values, count in counts.items()])


def labelled(name: str, text: str, labels: list[str], rows: Iterable[tuple[Any, ...]]) -> Metric:
    """Make a figure with labels.

    Args:
        rows: The values of the labels, and behind them the figure.
    """
    family = GaugeMetricFamily(f"backups_portal_{name}", text, labels=labels)
    for *values, value in rows:
        family.add_metric([str(one) for one in values], float(value))
    return family
