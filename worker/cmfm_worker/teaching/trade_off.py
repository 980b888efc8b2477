"""The curve of threshold against expected false rejects: each with its interval and the simulated defects caught."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.cfm.metrics.rate_interval import rate_interval
from cmfm_worker.cfm.metrics.tail import Tail, smallest_tail_rate
from cmfm_worker.cfm.metrics.threshold import candidate_rates, conformal_threshold
from cmfm_worker.recipes.sections import ThresholdSection
from cmfm_worker.teaching.expected_rate import expected_rate
from cmfm_worker.teaching.simulated_trial import KINDS, LINE, SIZES, SimulatedTrial

RATES: Final = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
"""False-reject rates that are shown, as far as the nominal parts support them."""

CURVE_POINTS: Final = 60
"""Points of the whole curve, from the median nominal score to beyond the highest threshold shown."""


@dataclass(frozen=True, slots=True)
class TradeOff:
    """A threshold: the share of good parts expected to reach it with its 95 % interval, and what it catches.

    `asked`: it is the recipe's own threshold.
    """

    fail_at: float
    rate: float
    interval: tuple[float, float]
    caught: Share
    by_size: dict[str, Share]
    by_kind: dict[str, Share]
    asked: bool = False


def trade_offs(threshold: ThresholdSection, trial: SimulatedTrial) -> list[TradeOff]:
    """Return the thresholds of `RATES` and the recipe's own, the largest rate first."""
    scores = threshold.nominal_scores
    by_threshold = {
        threshold.fail_at: threshold.target_false_reject_rate or expected_rate(scores, threshold.fail_at)
    }
    for rate in _rates(threshold):
        by_threshold.setdefault(_score_at(scores, rate, threshold), rate)
    return [
        _trade_off(fail_at, rate, len(scores), trial, asked=fail_at == threshold.fail_at)
        for fail_at, rate in sorted(by_threshold.items())
    ]


def whole_curve(threshold: ThresholdSection, trial: SimulatedTrial) -> list[TradeOff]:
    """Return the curve over evenly spaced thresholds."""
    scores = threshold.nominal_scores
    shown = [point.fail_at for point in trade_offs(threshold, trial)]
    low, high = float(np.median(scores)), 1.1 * max(shown)
    return [
        _trade_off(fail_at, expected_rate(scores, fail_at), len(scores), trial)
        for fail_at in np.linspace(low, max(high, low), CURVE_POINTS).tolist()
    ]


def _trade_off(
    fail_at: float, rate: float, parts: int, trial: SimulatedTrial, *, asked: bool = False
) -> TradeOff:
    return TradeOff(
        fail_at,
        rate,
        rate_interval(rate, parts),
        trial.caught(fail_at),
        {size: trial.caught(fail_at, size=size) for size in (*SIZES, LINE)},
        {kind: trial.caught(fail_at, kind=kind) for kind in KINDS},
        asked,
    )


def _rates(threshold: ThresholdSection) -> Sequence[float]:
    parts = len(threshold.nominal_scores)
    smallest = smallest_tail_rate(parts)
    if threshold.method == "conformal" or smallest is None:
        return candidate_rates(parts)
    return [rate for rate in RATES if rate >= smallest]


def _score_at(scores: Sequence[float], rate: float, threshold: ThresholdSection) -> float:
    if threshold.method == "conformal" or smallest_tail_rate(len(scores)) is None:
        return conformal_threshold(scores, rate)
    return Tail.of(scores).threshold(rate)
