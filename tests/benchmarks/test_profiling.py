"""The clocks of the benchmark fit the engine as it is."""

import time

import pytest

from tests.benchmarks.profiling import PROBES, Clock, locate


@pytest.mark.parametrize("place", [place for _, place in PROBES])
def test_every_probe_finds_its_function(place: str) -> None:
    holder, name = locate(place)
    assert callable(getattr(holder, name))


def test_a_part_does_not_count_what_parts_inside_it_take() -> None:
    clock = Clock()
    with clock.running("outer"), clock.running("inner"):
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass
    assert clock.parts["inner"].wall >= 0.02
    assert clock.parts["outer"].wall < clock.parts["inner"].wall
