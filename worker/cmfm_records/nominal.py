"""Compares parts with the nominal parts of a recipe: percentile, population stability, and the interval of a rate.

Pure functions of numbers. The line's drift alarm and the operator's page use the same definition.

The population stability index (PSI) compares the shares of two samples in the same bins: Σ (r − n) · ln(r / n), with n
the share of nominal and r that of recent parts in a bin. Credit scoring reads below 0.1 as the same population and
above 0.25 as another one (Siddiqi, Credit Risk Scorecards, 2006). Those limits suppose thousands of parts. Of one
population alone, samples of few parts differ: their PSI is about χ² of (bins − 1) degrees of freedom times
(1 / nominal + 1 / recent) (Yurdakul and Naranjo, Statistical properties of the population stability index, 2020).
Thirty nominal parts in ten bins would alarm on every line. `population_stability` therefore takes fewer bins for few
parts, and its `limit` is the greater one of 0.25 and what chance gives once in 10,000 comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_PARTS: Final = 10
"""Fewer nominal or recent parts than these are not compared."""

MOST_BINS: Final = 10
PARTS_A_BIN: Final = 10
"""Nominal parts that a bin holds at least, so that its share is known at all."""

OTHER_POPULATION: Final = 0.25
"""The usual limit of the index, for any number of parts."""

FALSE_ALARM_RATE: Final = 1e-4
"""Share of comparisons of the same population that exceed `Stability.limit`."""

EMPTY_BIN: Final = 0.5
"""Parts that every bin is given beside its own: an empty bin would make the index infinite."""

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Stability:
    """A population stability index, and the limit above which chance does not explain it."""

    index: float
    limit: float
    nominal: int
    recent: int

    @property
    def drifted(self) -> bool:
        """True if the recent parts are another population than the nominal ones."""
        return self.index > self.limit


def population_stability(nominal: Sequence[float], recent: Sequence[float]) -> Stability | None:
    """Compare recent values with nominal ones; None for fewer than `LEAST_PARTS` finite values of either.

    The bins are quantiles of the nominal values. A value that several nominal parts share (a coverage of exactly 1) has
    a bin of its own, so that a move to either side of it shows.
    """
    known, seen = _finite(nominal), _finite(recent)
    if min(len(known), len(seen)) < LEAST_PARTS:
        return None
    edges = _edges(known)
    expected, found = _shares(known, edges), _shares(seen, edges)
    index = float(((found - expected) * np.log(found / expected)).sum())
    limit = max(OTHER_POPULATION, _by_chance(len(edges), len(known), len(seen)))
    return Stability(index, limit, len(known), len(seen))


def percentiles(nominal: Sequence[float], values: Sequence[float]) -> NDArray[np.float64]:
    """Return, of each value, the percentage of nominal values below it; equal ones count half. (len(values),) float64.

    Raises ValueError without a finite nominal value. NaN stays NaN.
    """
    known = np.sort(_finite(nominal))
    if not len(known):
        raise ValueError("no nominal value to compare with")
    asked = np.asarray(values, dtype=np.float64)
    below, up_to = (np.searchsorted(known, asked, side) for side in ("left", "right"))
    return np.where(np.isnan(asked), np.nan, (below + up_to) * (50.0 / len(known)))


def clopper_pearson(count: int, total: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the true rate, if `count` of `total` independent parts were observed.

    Each tail has 2.5 % (Clopper and Pearson, 1934). Raises ValueError if `total` is 0 or `count` is not between 0 and
    `total`.
    """
    from scipy.special import betaincinv  # late: most programs that read records need no interval

    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is not a count of some parts")
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1.0 - tail))
    return low, high


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]


def _edges(nominal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ascending inner edges of the bins: a value belongs to the bin above the edges that it reaches."""
    bins = min(MOST_BINS, len(nominal) // PARTS_A_BIN)
    quantiles = np.quantile(nominal, np.arange(1, bins) / bins, method="higher")
    values, counts = np.unique(nominal, return_counts=True)
    shared = values[counts >= max(PARTS_A_BIN, len(nominal) / bins)]
    return np.unique(np.concatenate([quantiles, shared, np.nextafter(shared, np.inf)]))


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + EMPTY_BIN
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _by_chance(freedom: int, nominal: int, recent: int) -> float:
    """The index that two samples of one population exceed at `FALSE_ALARM_RATE`."""
    from scipy.special import chdtri

    return float(chdtri(freedom, FALSE_ALARM_RATE)) * (1.0 / nominal + 1.0 / recent)
