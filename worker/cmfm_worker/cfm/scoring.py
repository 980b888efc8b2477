"""How much Ψ is smoothed, and from how many of its pixels a part's score is made. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cmfm_worker.cfm.extractor import Preset

MAP_PX: Final = 224 * 224
"""Pixels of a map."""

SMOOTHING_PX: Final = (0.5, 32.0)
"""The least and the greatest σ that a recipe may have. A Gaussian of less than 0.5 pixels changes nothing."""

CLASSIC_SMOOTHING_PX: Final = 2.5
"""σ for `classic`. Its filters give a fine Ψ, and less smoothing keeps small regions apart."""

CLASSIC_SHARE: Final = 0.02
"""Share of a part's pixels that the score of `classic` is the mean of. A single grain is not a defect."""


COMPRESS_FROM: Final = 2.5
"""From so many times the median nominal score on maps of `lite` and `classic` are compressed: good parts seldom are."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """Smoothing and score of one recipe.

    `smoothing_px` is the σ of the Gaussian over Ψ, in pixels of the map. The score is the mean of the `highest_px`
    highest pixels of Ψ. With `continue_map` Ψ is continued beyond the pixels that have features. The defaults are the
    paper's (§ 3.3): σ = 4 and the maximum, which is 1 pixel.
    """

    smoothing_px: float = 4.0
    highest_px: int = 1
    continue_map: bool = False

    @classmethod
    def for_preset(cls, preset: Preset, nominal_px: int) -> Scoring:
        """Return the scoring of a preset for parts with `nominal_px` foreground pixels; `paper` has the paper's."""
        if preset == "paper":
            return cls()
        return cls(CLASSIC_SMOOTHING_PX, max(round(CLASSIC_SHARE * nominal_px), 1), continue_map=True)


PAPER_SCORING: Final = Scoring()


def scoring_rule(preset: Preset) -> str:
    """Describe the scoring of a preset in words, for a part of any size."""
    if preset == "paper":
        return f"σ = {PAPER_SCORING.smoothing_px:g} pixels, maximum"
    return f"σ = {CLASSIC_SMOOTHING_PX:g} pixels, highest {CLASSIC_SHARE:.0%} of the part"
