"""Synthetic parts whose colour and shape vary together, and defects with ground truth."""

from cmfm_sim.datasets.synthetic.category import CategorySpec
from cmfm_sim.datasets.synthetic.part import (
    DEFECTS,
    MAX_SIZE_PX,
    MIN_SIZE_PX,
    SyntheticPart,
    render_part,
)
from cmfm_sim.datasets.synthetic.products import CATEGORIES

__all__ = [
    "CATEGORIES",
    "DEFECTS",
    "MAX_SIZE_PX",
    "MIN_SIZE_PX",
    "CategorySpec",
    "SyntheticPart",
    "render_part",
]
