"""The garbage collector on a line: its pauses are measured, and loaded objects are frozen."""

import gc
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cmfm_worker.line.health.gc_control import GcControl


@pytest.fixture
def collector() -> Iterator[GcControl]:
    made = GcControl()
    made.watch()
    yield made
    made.restore()


class Cycle:
    """An object that only the cyclic collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_pauses_are_counted_and_shown(collector: GcControl) -> None:
    """Each collection is counted by generation, with its time, for Prometheus."""
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


def test_frozen_objects_make_collections_short(collector: GcControl) -> None:
    """After the freeze a full collection walks through new objects only."""
    ballast = [[i] for i in range(300_000)]
    gc.collect()
    before_ns = collector.longest_ns
    collector.freeze()
    assert gc.get_freeze_count() >= len(ballast)
    assert collector.longest_ns == 0  # the steady state begins here
    gc.collect()
    assert 0 < collector.longest_ns < before_ns


def test_idle_turns_collect_now_and_then(collector: GcControl) -> None:
    """Cyclic garbage is collected in an idle turn, but not in every one."""
    collector.freeze()
    Cycle()
    collector.collect_when_idle()
    assert collector.collections[2] == 1  # that of `freeze`, a moment ago
    at_once = GcControl(idle_every_s=0.0)
    at_once.collect_when_idle()
    assert collector.collections[2] == 2


def test_collector_is_left_as_it_was() -> None:
    """After the line has ended nothing is frozen, and thresholds and callbacks are as before."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    made = GcControl()
    made.watch()
    made.freeze()
    assert gc.get_threshold() != thresholds
    made.restore()
    assert (gc.get_threshold(), list(gc.callbacks), gc.get_freeze_count()) == (thresholds, callbacks, 0)
