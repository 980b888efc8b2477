"""Recent results: the newest are kept byte for byte, in memory that does not grow."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cmfm_worker.line.verdicts.recent_results import RESULT_BYTES, RecentResults

SIZES = st.lists(st.integers(1, 40), max_size=60)


def payload(result_id: int, size: int) -> bytes:
    """Make a payload that differs from those of other ids."""
    return bytes((result_id * 7 + i) % 256 for i in range(size))


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(st.integers(1, 8), st.integers(1, 16), SIZES)
def test_results_are_kept_as_they_were_published(capacity: int, result_bytes: int, sizes: list[int]) -> None:
    """For any sizes: ids have no gap up to the newest, each with its own bytes, and at most `capacity` are kept."""
    history = RecentResults(capacity, result_bytes)
    for newest, size in enumerate(sizes, start=1):
        history.append(payload(newest, size))
        kept = history.since(0, 1000)
        first = history.oldest_id
        assert history.newest_id == newest
        assert len(kept) == newest - first + 1 <= capacity
        assert kept == [payload(i, sizes[i - 1]) for i in range(first, newest + 1)]


@given(st.integers(1, 8), SIZES)
@settings(deadline=None, max_examples=100, derandomize=True, database=None)
def test_capacity_is_kept_if_results_are_short(capacity: int, sizes: list[int]) -> None:
    """If no result is longer than reserved, the last `capacity` are kept."""
    history = RecentResults(capacity, 40)
    for newest, size in enumerate(sizes, start=1):
        history.append(payload(newest, size))
        assert history.oldest_id == max(1, newest - capacity + 1)


def test_result_larger_than_the_ring_is_not_kept() -> None:
    """A result larger than the ring is skipped, later results are kept, and the gap shows in the ids."""
    history = RecentResults(2, 10)
    history.append(b"first")
    history.append(b"x" * 1000)
    assert (history.oldest_id, history.newest_id, history.since(0, 10)) == (3, 2, [])
    history.append(b"third")
    assert (history.oldest_id, history.since(0, 10)) == (3, [b"third"])


def test_page_begins_after_the_given_id() -> None:
    """A page holds up to `limit` results above the given id."""
    history = RecentResults(10)
    for newest in range(1, 8):
        history.append(payload(newest, 20))
    assert history.since(3, 2) == [payload(4, 20), payload(5, 20)]
    assert history.since(7, 2) == []


def test_filling_it_takes_no_more_memory() -> None:
    """The ring is in memory from the start, so that a worker needs no more after a month."""
    history = RecentResults(20_000)
    before = resident_bytes()
    for newest in range(1, 20_001):
        history.append(payload(newest, 16) * (RESULT_BYTES // 16))
    assert resident_bytes() - before < 20_000 * RESULT_BYTES / 4


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024
