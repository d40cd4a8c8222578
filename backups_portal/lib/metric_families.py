"""Metrics in Prometheus's format, named `backups_portal_…`."""

from collections.abc import Iterable
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from backups_portal.lib.health import OK, UNAVAILABLE, UNKNOWN

# The age of something that never happened.
NEVER = float("inf")
# The value is missing or unknown.
NONE = float("nan")


class _Collected:
    """Hands metrics to a registry, which collects them once."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition_of(metrics: Iterable[Metric]) -> bytes:
    """Write metrics in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Collected(metrics))
    return generate_latest(registry)


def up(states: dict[str, str]) -> Metric:
    """Report for each part whether it works: 1, 0, or NaN if unknown.

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
    """Make a gauge without labels."""
    return GaugeMetricFamily(f"backups_portal_{name}", text, value=float(value))


def counted(
    name: str, text: str, rows: Iterable[tuple[Any, ...]], **labels: Iterable[str]
) -> Metric:
    """Make a gauge with a value for every combination of labels, 0 by default.

    Alerting rules then need not distinguish 0 from a missing value.
    """
    counts: dict[tuple[str, ...], Any] = dict.fromkeys(product(*labels.values()), 0)
    counts.update({tuple(values): count for *values, count in rows})
    return labelled(name, text, [*labels], [(*values, count) for values, count in counts.items()])


def labelled(name: str, text: str, labels: list[str], rows: Iterable[tuple[Any, ...]]) -> Metric:
    """Make a gauge with labels.

    Args:
        rows: The values of the labels, followed by the gauge's value.
    """
    family = GaugeMetricFamily(f"backups_portal_{name}", text, labels=labels)
    for *values, value in rows:
        family.add_metric([str(one) for one in values], float(value))
    return family
