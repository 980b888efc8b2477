"""The share of good parts that is expected to reach a score, from the scores of nominal parts."""

from collections.abc import Sequence

from cmfm_worker.cfm.metrics.tail import Tail, smallest_tail_rate


def expected_rate(scores: Sequence[float], fail_at: float) -> float:
    """Return the share of good parts expected at or above a score: by the tail, or by counting with few scores."""
    if smallest_tail_rate(len(scores)) is not None:
        return Tail.of(scores).expected_rate(fail_at)
    return (sum(score >= fail_at for score in scores) + 1) / (len(scores) + 1)
