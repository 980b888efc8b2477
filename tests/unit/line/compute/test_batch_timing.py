"""Batch timing: what is possible by a deadline, estimated from the newest batches."""

from cmfm_worker.line.compute.batch_timing import REMEMBERED, BatchTiming


def measured(*batches: tuple[int, int]) -> BatchTiming:
    """Return the timing after batches of so many parts that took so long, one after the other from time 0."""
    timing, now_ns = BatchTiming(), 0
    for parts, took_ns in batches:
        timing.launched(parts, now_ns)
        now_ns += took_ns
        timing.concluded(now_ns)
    return timing


def test_before_the_first_batch_every_deadline_looks_possible() -> None:
    """Without a measurement no part is given up."""
    assert BatchTiming().done_ns(4, 100) == 100


def test_cost_of_a_part() -> None:
    """It is that of the most efficient batch size; before the first batch the warm-up's, which gives up no part."""
    assert BatchTiming().part_ns is None
    timing = BatchTiming()
    timing.warmed(70)
    assert timing.part_ns == 70
    assert timing.done_ns(1, 100) == 100
    assert measured((1, 10), (4, 20), (4, 22), (4, 24)).part_ns == 5
    timing.launched(2, 0)
    timing.concluded(100)
    assert timing.batch_ns(1) == timing.part_ns == 50


def test_one_slow_batch_does_not_change_the_estimate() -> None:
    """The median stands for a size, so a single batch that took a thousand times as long does not count."""
    assert measured((1, 10), (1, 10), (1, 10_000)).batch_ns(1) == 10


def test_sizes_not_seen_lately_are_judged_in_proportion() -> None:
    """Their duration is estimated from the nearest size that was measured."""
    timing = measured((2, 20), (4, 30))
    assert [timing.batch_ns(parts) for parts in (1, 2, 3, 4, 8)] == [10, 20, 30, 30, 60]


def test_estimates_follow_the_newest_batches() -> None:
    """Old batches are forgotten, also those of another size."""
    timing = measured(*[(4, 1000)] * 5, *[(1, 7)] * REMEMBERED)
    assert (timing.batch_ns(1), timing.batch_ns(4)) == (7, 28)


def test_what_is_in_flight_comes_first() -> None:
    """A batch launched now waits for what remains of the batches before it, and no longer."""
    timing = measured((1, 10))
    assert measured((1, 10)).idle
    timing.launched(1, 100)
    timing.launched(1, 101)
    assert not timing.idle
    assert timing.done_ns(1, 105) == 130
    assert timing.done_ns(1, 500) == 510  # the batches in flight are overdue: they may be done at any moment
    timing.concluded(112)
    assert timing.done_ns(1, 112) == 132


def test_batches_are_measured_from_when_the_device_was_free() -> None:
    """A batch that waited behind another does not count that wait as its own."""
    timing = BatchTiming()
    timing.launched(1, 0)
    timing.launched(1, 1)
    timing.concluded(50)
    timing.concluded(100)
    assert timing.batch_ns(1) == 50
