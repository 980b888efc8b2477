"""Limits of made-up products, learned from nominal frames without any networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from tests.unit.made.scenes import Scene, scene

from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare
from cmfm_worker.inspection.measures import measure_frames
from cmfm_worker.inspection.nominal_limits import Deviation, deviation
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.sections import CoverageSection
from cmfm_worker.teaching.content_limits import content_limits
from cmfm_worker.teaching.limits import nominal_px_from

NOMINAL = 10
PRODUCTS = ("biscuit", "gear", "fruit")
"""A product whose size varies much, a round one with a hole, and one of several pieces."""


@dataclass(frozen=True)
class NominalFrames:
    """The limits of a product, learned from nominal parts, and a further good part."""

    background: BackgroundOptions
    coverage: CoverageSection
    limits: LimitsSection
    good: tuple[Scene, ...]

    def prepared(self, of: Scene) -> PreparedFrames:
        """Prepare a frame as the recipe says."""
        return prepare(torch.from_numpy(of.rgb)[None], torch.from_numpy(of.xyz)[None], self.background)

    def compare(self, of: Scene) -> Deviation | None:
        """Compare a frame as the line does."""
        (part,) = measure_frames(self.prepared(of))
        return deviation(part, self.coverage, self.limits)


@cache
def nominal_frames(product: str) -> NominalFrames:
    """Learn the limits of a product from ten made-up parts."""
    background = BackgroundOptions(clusters="all" if product == "fruit" else "largest")
    some = [scene(product, i) for i in range(NOMINAL + 2)]
    without = NominalFrames(background, CoverageSection(), LimitsSection(), ())
    nominal = [measure_frames(without.prepared(one))[0] for one in some[:NOMINAL]]
    coverage, limits = content_limits(nominal_px_from([part.area_px for part in nominal]), nominal, [])
    return NominalFrames(background, coverage, limits, tuple(some[NOMINAL:]))
