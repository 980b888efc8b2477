"""The set of used numbers agrees with Python's own set, in little memory."""

import random

from cmfm_worker.line.intake.number_set import MAX_RANGES, NumberSet


def test_it_agrees_with_a_set() -> None:
    """Numbers and ranges in any order."""
    rng = random.Random(3)
    for _ in range(50):
        numbers, expected = NumberSet(), set[int]()
        for _ in range(40):
            start = rng.randrange(100)
            stop = start + rng.randrange(6)
            numbers.add_range(start, stop)
            expected.update(range(start, stop))
            assert {n for n in range(110) if n in numbers} == expected
            free = numbers.next_free(start)
            assert free not in expected
            assert set(range(start, free)) <= expected


def test_long_stream_is_one_range() -> None:
    """A stream that runs for a year takes no more memory than one of a minute."""
    numbers = NumberSet()
    for number in range(100_000):
        numbers.add(number)
    assert len(numbers._starts) == 1


def test_lowest_ranges_are_joined_beyond_the_bound() -> None:
    """Forgotten numbers count as used: no number is ever answered twice."""
    numbers = NumberSet()
    for number in range(0, 4 * MAX_RANGES, 2):
        numbers.add(number)
    assert len(numbers._starts) == MAX_RANGES
    assert all(number in numbers for number in range(0, 4 * MAX_RANGES, 2))
    assert 4 * MAX_RANGES - 3 not in numbers
