"""Measures of a part in the middle of its frame, some of them changed."""

from typing import Any

from cmfm_worker.cfm.surroundings import Surroundings
from cmfm_worker.inspection.measures import PartMeasures


def measures(
    area_px: int = 1000, *, filled: float = 0.8, length_px: float = 40.0, **around: Any
) -> PartMeasures:
    """Return a part of one piece; `around` replaces fields of `Surroundings`."""
    surroundings = {"edge_px": 50, "field_px": 50, "pieces": 1, "beside_px": 0} | around
    return PartMeasures(area_px, area_px / filled, length_px, Surroundings(**surroundings))
