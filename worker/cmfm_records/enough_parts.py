"""How many good parts a recipe needs, and what further ones buy, by the measurements in docs/accuracy.md.

These are figures of one real product in free poses with the default preset `lite` (mean of two seeds), not of the
product at hand: they say how accuracy grows with the number of parts. Parts that lie alike need fewer.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

LEAST_PARTS: Final = 20
"""Fewer good parts are not taught: with 10 the scores hardly told good parts from defective ones."""

ENOUGH_PARTS: Final = 100
"""The number to aim for. With fewer, of a product in free poses, the threshold let many defective parts pass."""

MEASURED: Final[tuple[tuple[int, float], ...]] = (
    (5, 0.690),
    (10, 0.7035),
    (20, 0.8975),
    (50, 0.9455),
    (112, 0.9855),
)
"""Parts taught, and the share of pairs of a good and a defective part that scores put in order (I-AUROC)."""

SOURCE: Final = "docs/accuracy.md, a real product in free poses"


@dataclass(frozen=True, slots=True)
class Gain:
    """I-AUROC at a number of parts and at ten more, read off the straight lines between the measurements."""

    parts: int
    now: float
    then: float

    @property
    def bought(self) -> float:
        """The difference."""
        return self.then - self.now


def ten_more(parts: int) -> Gain:
    """Return what ten further parts bought in the measurements, beyond the last one nothing."""
    return Gain(parts, _read_off(parts), _read_off(parts + 10))


def _read_off(parts: int) -> float:
    if parts <= MEASURED[0][0]:
        return MEASURED[0][1]
    for (fewer, low), (more, high) in pairwise(MEASURED):
        if parts <= more:
            return low + (high - low) * (parts - fewer) / (more - fewer)
    return MEASURED[-1][1]
