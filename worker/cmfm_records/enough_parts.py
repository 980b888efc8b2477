"""How many good parts a recipe needs, and what further ones buy, by the measurements in docs/accuracy.md.

These are figures of made-up products with the preset `classic` (version 3, mean of three seeds), not of the product at
hand: they say how accuracy grows with the number of parts. Parts that lie alike need fewer than parts in free poses.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

LEAST_PARTS: Final = 20
"""Fewer good parts are not taught: a fifth of them sets the threshold, and of four the highest score says little."""

ENOUGH_PARTS: Final = 50
"""The number to collect; further ones buy little."""

MEASURED: Final[tuple[tuple[int, float], ...]] = ((5, 0.827), (10, 0.883), (50, 0.947), (100, 0.964))
"""Parts taught, and the share of pairs of a good and a defective part that scores put in order (I-AUROC)."""

SOURCE: Final = "docs/accuracy.md, made-up products, `classic`, I-AUROC"


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
