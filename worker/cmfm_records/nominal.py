"""Nominal parts as a reference for the parts that come: percentile of a value, and population stability (drift).

The population stability index (PSI) compares the shares p of recent parts with the shares q of nominal parts in bins
whose edges are quantiles of the nominal parts:

    PSI = Σ (p - q) ln(p / q),  p = (recent + ½) / (n + B/2),  q = (nominal + ½) / (N + B/2)

for B bins, n recent and N nominal parts. Half a part is added to each bin, so that an empty one has a logarithm. The
field reads a PSI below 0.1 as stable and one from 0.25 on as shifted (Siddiqi 2006).

Few parts shift a PSI by chance. If recent and nominal parts are alike, it is distributed as χ² with B - 1 degrees of
freedom times (1/n + 1/N) (Yurdakul and Naranjo 2020); with 20 nominal parts its mean is about 0.16. `drift_limit` is
therefore the limit asked for, or the PSI that chance exceeds in one of 10,000 windows, whichever is greater. A test
counts the alarms on nominal parts.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from scipy.special import chdtri

USUAL_LIMIT: Final = 0.25
"""The PSI that the field calls a shift."""

LEAST_NOMINAL: Final = 10
"""Fewer nominal parts are no reference."""

MOST_BINS: Final = 10
PARTS_A_BIN: Final = 5
"""Nominal parts in each bin, at least, while there are fewer than `MOST_BINS` bins."""

BY_CHANCE: Final = 1e-4
"""Share of windows of nominal parts whose PSI may exceed `drift_limit`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The bins of one measure: `edges` (B - 1, ascending) and the nominal parts in each of the B bins.

    Bin 0 lies below the first edge; an edge belongs to the bin above it.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, nominal: Iterable[float]) -> Self | None:
        """Make the bins of nominal values; None for fewer than `LEAST_NOMINAL`, and for values that are all equal.

        Equal values share a bin. Raises ValueError for a value that is not finite.
        """
        ascending = sorted(nominal)
        if not all(map(math.isfinite, ascending)):
            raise ValueError("a reference needs finite values")
        parts = len(ascending)
        if parts < LEAST_NOMINAL:
            return None
        bins = min(parts // PARTS_A_BIN, MOST_BINS)
        places = [0]
        for wanted in (round(bin_ * parts / bins) for bin_ in range(1, bins)):
            place = bisect_left(ascending, ascending[wanted])  # equal values stay together
            if place - places[-1] >= PARTS_A_BIN <= parts - place:
                places.append(place)
        if len(places) == 1:
            return None
        edges = tuple(ascending[place] for place in places[1:])
        return cls(edges, tuple(b - a for a, b in zip(places, [*places[1:], parts], strict=True)))

    @property
    def parts(self) -> int:
        """Number of nominal parts."""
        return sum(self.counts)

    def bin_of(self, value: float) -> int:
        """Return the bin of a value."""
        return bisect_right(self.edges, value)

    def count(self, values: Iterable[float]) -> tuple[int, ...]:
        """Return the number of values in each bin."""
        counts = [0] * len(self.counts)
        for value in values:
            counts[self.bin_of(value)] += 1
        return tuple(counts)

    def stability(self, recent: Sequence[int]) -> float:
        """Return the PSI of recent parts, given as their number in each bin."""
        return population_stability(self.counts, recent)


def population_stability(nominal: Sequence[int], recent: Sequence[int]) -> float:
    """Return the PSI of two populations, given as their numbers of parts in the same bins."""
    half = len(nominal) / 2
    all_nominal, all_recent = sum(nominal) + half, sum(recent) + half
    psi = 0.0
    for q_parts, p_parts in zip(nominal, recent, strict=True):
        q, p = (q_parts + 0.5) / all_nominal, (p_parts + 0.5) / all_recent
        psi += (p - q) * math.log(p / q)
    return psi


@lru_cache(maxsize=4096)
def drift_limit(limit: float, bins: int, nominal: int, recent: int) -> float:
    """Return the PSI from which on parts have drifted: `limit`, but never what chance makes of nominal parts.

    `nominal` and `recent` are numbers of parts, both at least 1.
    """
    by_chance = float(chdtri(bins - 1, BY_CHANCE)) * (1 / nominal + 1 / recent)
    return max(limit, by_chance)


def percentile(nominal: Iterable[float], value: float) -> float | None:
    """Return the share of nominal values below `value`, in percent, equal ones counted half; None without values."""
    ascending = sorted(nominal)
    if not ascending:
        return None
    below, up_to = bisect_left(ascending, value), bisect_right(ascending, value)
    return 50.0 * (below + up_to) / len(ascending)
