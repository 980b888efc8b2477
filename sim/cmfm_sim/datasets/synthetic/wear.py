"""Differences between good parts: marks without relief, and relief without colour.

Neither modality predicts them from the other, so each map alone takes them for defects (Ψ_2D is high on a fleck,
Ψ_3D on a grain under the skin). Only both maps together show that they are harmless. Each is smaller or fainter
than the defect that it resembles.
"""

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, colour, mix
from cmfm_sim.datasets.synthetic.fields import inside, smooth_noise
from cmfm_sim.datasets.synthetic.sampling import Field

_FLECKS = ("e8e4da", "2c2824", "b8a88a")  # flour or dust, soot, a dried drop of water
_MOST_FLECKS, _MOST_GRAINS = 9, 6


def wear(canvas: Canvas, rng: np.random.Generator) -> None:
    """Change a finished good part in colour alone at some places and in height alone at others."""
    _warp(canvas, rng)
    _bloom(canvas, rng)
    for _ in range(int(rng.integers(_MOST_GRAINS + 1))):
        _grain(canvas, rng)
    for _ in range(int(rng.integers(_MOST_FLECKS + 1))):
        _fleck(canvas, rng)


def _warp(canvas: Canvas, rng: np.random.Generator) -> None:
    """Bend the part by up to half a millimetre at its ends, and swell it by a tenth over centimetres."""
    along, across, twist = rng.uniform(-0.25, 0.25, 3).astype(np.float32)
    u, v = canvas.u_mm / 40.0, canvas.v_mm / 30.0
    canvas.lift(along * u * u + across * v * v + twist * u * v)
    canvas.lift(0.12 * smooth_noise(rng, canvas.u_mm, canvas.v_mm, 11.0))


def _bloom(canvas: Canvas, rng: np.random.Generator) -> None:
    """Make the surface unevenly light, by a tenth over centimetres, as after handling and storing."""
    cloud = smooth_noise(rng, canvas.u_mm, canvas.v_mm, 13.0) + 0.5 * smooth_noise(
        rng, canvas.u_mm, canvas.v_mm, 5.0
    )
    canvas.albedo *= np.clip(1.0 + rng.uniform(0.0, 0.09) * cloud, 0.6, 1.4)[..., None]


def _grain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Add a grain under the skin or a pore, 1.5 to 3.5 mm across, up to 0.5 mm high; the colour does not show it."""
    away, radius_mm = _spot(canvas, rng), rng.uniform(0.75, 1.75)
    height_mm = rng.uniform(0.2, 0.5) * rng.choice((-1.0, 1.0))
    canvas.lift(np.float32(height_mm) * np.clip(1.0 - (away / np.float32(radius_mm)) ** 2, 0.0, 1.0))


def _fleck(canvas: Canvas, rng: np.random.Generator) -> None:
    """Add dust, soot or a dried drop, 0.8 to 3 mm across, half covering; it has no height."""
    away, radius_mm = _spot(canvas, rng), rng.uniform(0.4, 1.5)
    under = canvas.albedo[canvas.part].mean(axis=0)
    tint = mix(colour(_FLECKS[int(rng.integers(len(_FLECKS)))]), under, 0.2)
    canvas.paint(rng.uniform(0.25, 0.55) * inside(away - np.float32(radius_mm), 0.3) * canvas.part, tint)


def _spot(canvas: Canvas, rng: np.random.Generator) -> Field:
    """Distance in mm from a random place of the part, stretched a little."""
    candidates = np.flatnonzero(canvas.part)
    chosen = candidates[int(rng.random() * len(candidates))]
    du, dv = canvas.u_mm - canvas.u_mm.flat[chosen], canvas.v_mm - canvas.v_mm.flat[chosen]
    stretch = np.float32(rng.uniform(0.8, 1.25))
    away: Field = np.hypot(du * stretch, dv / stretch)
    return away
