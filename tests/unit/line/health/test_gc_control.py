"""The collector on a line: its pauses are measured, what was loaded is never walked through again."""

import gc
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cmfm_worker.line.health import gc_control as garbage
from cmfm_worker.line.health.gc_control import GcControl


@pytest.fixture
def collector() -> Iterator[GcControl]:
    made = GcControl()
    made.watch()
    yield made
    made.restore()


class Ring:
    """Something that only the cyclic collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_pauses_are_counted_and_shown(collector: GcControl) -> None:
    """Each collection is counted under its generation, with its time, for Prometheus."""
    gc.collect(0)
    gc.collect(2)
    assert collector.collections[0] >= 1
    assert collector.collections[2] >= 1
    assert 0 < collector.longest_ns <= collector.total_ns
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    assert 'cmfm_gc_collections_total{generation="2"}' in text
    assert "cmfm_gc_longest_pause_seconds" in text


def test_settled_heap_is_frozen_and_collections_are_short(collector: GcControl) -> None:
    """After the freeze a full collection walks through what is new, not through what was loaded."""
    ballast = [[i] for i in range(300_000)]
    gc.collect()
    before_ns = collector.longest_ns
    collector.settle()
    assert gc.get_freeze_count() >= len(ballast)
    assert collector.longest_ns == 0  # the steady state begins here
    gc.collect()
    assert 0 < collector.longest_ns < before_ns


def test_idle_turns_collect_now_and_then(collector: GcControl, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the line leaves in cycles goes in an idle turn, but not in every one."""
    collector.settle()
    Ring()
    collector.tidy()
    assert collector.collections[2] == 1  # that of `settle`; it was just now
    monkeypatch.setattr(garbage, "TIDY_EVERY_S", 0.0)
    collector.tidy()
    assert collector.collections[2] == 2


def test_collector_is_left_as_it_was() -> None:
    """After the line has ended nothing is frozen, and thresholds and callbacks are those from before."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    made = GcControl()
    made.watch()
    made.settle()
    assert gc.get_threshold() != thresholds
    made.restore()
    assert (gc.get_threshold(), list(gc.callbacks), gc.get_freeze_count()) == (thresholds, callbacks, 0)
