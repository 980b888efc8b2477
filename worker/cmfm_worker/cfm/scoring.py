"""How fine a map Ψ is, and of how much of it a part's score is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cmfm_worker.cfm.extractor import Preset

MAP_PX: Final = 224 * 224
"""Pixels of a map."""

SMOOTHING_PX: Final = (0.5, 32.0)
"""The least and the most that a recipe may smooth by: below, a Gaussian is a pixel."""

CLASSIC_SMOOTHING_PX: Final = 2.5
CLASSIC_SHARE: Final = 0.02
"""Ψ of `classic` is as fine as its filters: less is smoothed, so that small regions stay apart; and a single grain is
no defect: so many of a part's pixels have to agree before it is rejected.
"""


@dataclass(frozen=True, slots=True)
class Scoring:
    """`smoothing_px`: σ of the Gaussian over Ψ, in its pixels. `highest_px`: the score is the mean of so many of the
    highest pixels of Ψ.

    The paper smooths by σ = 4 and takes the maximum, 1 pixel (§ 3.3).
    """

    smoothing_px: float = 4.0
    highest_px: int = 1

    @classmethod
    def for_preset(cls, preset: Preset, nominal_px: int) -> Scoring:
        """What a preset takes on parts of so many foreground pixels; `paper` has the paper's."""
        if preset == "paper":
            return cls()
        return cls(CLASSIC_SMOOTHING_PX, max(round(CLASSIC_SHARE * nominal_px), 1))


PAPER_SCORING: Final = Scoring()


def scoring_rule(preset: Preset) -> str:
    """The same in words, whatever the part."""
    if preset == "paper":
        return f"σ = {PAPER_SCORING.smoothing_px:g} pixels, maximum"
    return f"σ = {CLASSIC_SMOOTHING_PX:g} pixels, highest {CLASSIC_SHARE:.0%} of the part"
