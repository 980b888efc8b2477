"""Results that can be asked for again: the newest, byte for byte, in memory that does not grow."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cmfm_worker.line.verdicts.recent_results import RESULT_BYTES, RecentResults

SIZES = st.lists(st.integers(1, 40), max_size=60)


def payload(result_id: int, size: int) -> bytes:
    """Told from every other of its size."""
    return bytes((result_id * 7 + i) % 256 for i in range(size))


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(st.integers(1, 8), st.integers(1, 16), SIZES)
def test_what_is_kept_is_what_was_published(capacity: int, result_bytes: int, sizes: list[int]) -> None:
    """Whatever the sizes: ids without gaps up to the newest, each with its own bytes, at most as many as asked for."""
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
def test_as_many_as_asked_for_are_kept(capacity: int, sizes: list[int]) -> None:
    """Results of the size that was reserved, or less, never cost an older one its place."""
    history = RecentResults(capacity, 40)
    for newest, size in enumerate(sizes, start=1):
        history.append(payload(newest, size))
        assert history.oldest_id == max(1, newest - capacity + 1)


def test_result_longer_than_everything_is_not_kept() -> None:
    """It is passed over, what follows it is kept again, and the gap shows in the ids."""
    history = RecentResults(2, 10)
    history.append(b"first")
    history.append(b"x" * 1000)
    assert (history.oldest_id, history.newest_id, history.since(0, 10)) == (3, 2, [])
    history.append(b"third")
    assert (history.oldest_id, history.since(0, 10)) == (3, [b"third"])


def test_a_page_begins_where_it_was_asked_from() -> None:
    """Up to `limit` results above the id asked from."""
    history = RecentResults(10)
    for newest in range(1, 8):
        history.append(payload(newest, 20))
    assert history.since(3, 2) == [payload(4, 20), payload(5, 20)]
    assert history.since(7, 2) == []


def test_filling_it_takes_no_more_memory() -> None:
    """A worker holds after a month what it held when it was ready: the history is in memory from the start."""
    history = RecentResults(20_000)
    before = resident_bytes()
    for newest in range(1, 20_001):
        history.append(payload(newest, 16) * (RESULT_BYTES // 16))
    assert resident_bytes() - before < 20_000 * RESULT_BYTES / 4


def resident_bytes() -> int:
    """Of this process."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024
