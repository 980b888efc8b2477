"""The pace of the loop: what is possible by a deadline, judged from what batches took."""

from cmfm_worker.line.compute.batch_timing import REMEMBERED, BatchTiming


def measured(*batches: tuple[int, int]) -> BatchTiming:
    """Batches of so many parts that took so long, one after the other from time 0."""
    pace, now_ns = BatchTiming(), 0
    for parts, took_ns in batches:
        pace.launched(parts, now_ns)
        now_ns += took_ns
        pace.concluded(now_ns)
    return pace


def test_before_the_first_batch_everything_looks_possible() -> None:
    """Nothing is given up on a guess."""
    assert BatchTiming().done_ns(4, 100) == 100


def test_what_a_part_costs() -> None:
    """In the size of batch that is best at it; before the first one as the warm-up found it, which gives up nothing."""
    assert BatchTiming().part_ns is None
    pace = BatchTiming()
    pace.warmed(70)
    assert pace.part_ns == 70
    assert pace.done_ns(1, 100) == 100
    assert measured((1, 10), (4, 20), (4, 22), (4, 24)).part_ns == 5
    pace.launched(2, 0)
    pace.concluded(100)
    assert pace.batch_ns(1) == pace.part_ns == 50


def test_one_hiccup_does_not_change_the_pace() -> None:
    """The median stands for a size; a single batch that took a thousand times as long does not."""
    assert measured((1, 10), (1, 10), (1, 10_000)).batch_ns(1) == 10


def test_sizes_not_seen_lately_are_judged_in_proportion() -> None:
    """From the nearest size that was measured."""
    pace = measured((2, 20), (4, 30))
    assert [pace.batch_ns(parts) for parts in (1, 2, 3, 4, 8)] == [10, 20, 30, 30, 60]


def test_a_change_of_pace_is_followed() -> None:
    """Old batches are forgotten, those of another size too."""
    pace = measured(*[(4, 1000)] * 5, *[(1, 7)] * REMEMBERED)
    assert (pace.batch_ns(1), pace.batch_ns(4)) == (7, 28)


def test_what_is_in_flight_comes_first() -> None:
    """A batch launched now waits for the rest of those before it, and for no more than that."""
    pace = measured((1, 10))
    assert measured((1, 10)).idle
    pace.launched(1, 100)
    pace.launched(1, 101)
    assert not pace.idle
    assert pace.done_ns(1, 105) == 130
    assert (
        pace.done_ns(1, 500) == 510
    )  # what is in flight takes longer than thought; it may be done at any moment
    pace.concluded(112)
    assert pace.done_ns(1, 112) == 132


def test_batches_are_measured_from_when_the_device_was_free() -> None:
    """A batch that waited behind another does not count that wait as its own."""
    pace = BatchTiming()
    pace.launched(1, 0)
    pace.launched(1, 1)
    pace.concluded(50)
    pace.concluded(100)
    assert pace.batch_ns(1) == 50
