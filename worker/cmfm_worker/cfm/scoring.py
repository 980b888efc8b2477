"""How fine a map Ψ is, and of how much of it a part's score is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cmfm_worker.cfm.extractor import Preset

MAP_PX: Final = 224 * 224
"""Pixels of a map."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """`smoothing_px`: σ of the Gaussian over Ψ, in its pixels. `highest_px`: the score is the mean of so many of the
    highest pixels of Ψ.

    The paper smooths by σ = 4 and takes the maximum, 1 pixel (§ 3.3).
    """

    smoothing_px: float = 4.0
    highest_px: int = 1

    @classmethod
    def for_preset(cls, preset: Preset) -> Scoring:
        """`paper` has the paper's. Ψ of `classic` is as fine as its filters, and a single grain is no defect: less is
        smoothed, so that small regions stay apart, and more pixels have to agree before a part is rejected.
        """
        return cls(smoothing_px=2.0, highest_px=200) if preset == "classic" else cls()


PAPER_SCORING: Final = Scoring()
