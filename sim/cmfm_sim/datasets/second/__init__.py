"""A second family of made-up products, which only confirms: no choice of the method depends on it.

It shares no code with `synthetic`: other geometry (solids joined by their greatest height), other texture (noise with a
power spectrum), other light (a sky of low order and no shadows), another sensor (fringes, noise by brightness, NaN).
"""

from cmfm_sim.datasets.second.parts import CATEGORIES
from cmfm_sim.datasets.second.render import DEFECTS, render_part

__all__ = ["CATEGORIES", "DEFECTS", "render_part"]
