"""Trays: flat, textured supports that reach beyond the picture on every side."""

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, colour
from cmfm_sim.datasets.synthetic.fields import ramp, smooth_noise
from cmfm_sim.datasets.synthetic.sampling import Field

TRAYS = ("belt", "blue", "foam", "paper", "steel")
_COLOURS = {"belt": "3c4240", "blue": "2f5f8f", "foam": "5a5560", "paper": "b9b09c", "steel": "8d9296"}
_GLOSS = {"belt": 0.1, "blue": 0.25, "foam": 0.02, "paper": 0.02, "steel": 0.35}


def draw_tray(canvas: Canvas, kind: str, rng: np.random.Generator) -> None:
    """Cover the canvas with one of `TRAYS`; its relief stays below 0.2 mm."""
    x_mm, y_mm = canvas.u_mm, canvas.v_mm
    base = colour(_COLOURS[kind]) * np.float32(rng.uniform(0.85, 1.15))
    pattern, relief_mm = _texture(kind, x_mm, y_mm, rng)
    dirt = smooth_noise(rng, x_mm, y_mm, 25.0)
    canvas.albedo = base * (1.0 + pattern + 0.04 * dirt)[..., None]
    canvas.gloss = np.full_like(x_mm, _GLOSS[kind])
    canvas.height_mm = relief_mm.astype(np.float32)


def _texture(kind: str, x_mm: Field, y_mm: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """Relative brightness and relief in mm."""
    if kind == "belt":  # woven
        phase = rng.uniform(0.0, 2.0 * np.pi, 2).astype(np.float32)
        weave = np.sin(2.2 * x_mm + phase[0]) * np.sin(2.2 * y_mm + phase[1])
        return 0.10 * weave + 0.04 * smooth_noise(rng, x_mm, y_mm, 1.2), 0.06 * weave
    if kind == "steel":  # brushed
        brushed = smooth_noise(rng, x_mm, y_mm, (40.0, 0.6))
        return 0.05 * brushed, 0.01 * brushed
    if kind == "foam":  # pores
        pores = ramp(smooth_noise(rng, x_mm, y_mm, 1.1), 0.8, 1.8)
        return -0.35 * pores, -0.18 * pores
    if kind == "paper":  # fibres and a few creases
        fibres, crease = smooth_noise(rng, x_mm, y_mm, 0.9), smooth_noise(rng, x_mm, y_mm, 18.0)
        return 0.03 * fibres, 0.08 * crease
    grain = smooth_noise(rng, x_mm, y_mm, 0.8)  # a moulded plastic tray with an orange-peel surface
    return 0.03 * grain, 0.02 * grain
