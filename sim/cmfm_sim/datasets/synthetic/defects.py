"""Defects of a part: each changes the surface at a random place, in a natural size."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.synthetic.canvas import Canvas, Colour, colour, mix
from cmfm_sim.datasets.synthetic.fields import inside, polyline_distance, ramp, smooth_noise, turned
from cmfm_sim.datasets.synthetic.sampling import Field

Damage: TypeAlias = Callable[[Canvas, np.random.Generator], None]

_FLOOR_MM = 6.2  # what is left under a hole: a part is told from the tray by standing 5 mm above it
_STAINS = ("1a120c", "12305e", "1d4a26", "5c1010", "e9e4d6", "d8c26a")  # oil, inks, paint, grease, resin


def hole(canvas: Canvas, rng: np.random.Generator) -> None:
    """A pit of 2.4 to 10 mm across with a steep wall; the core shows on its ground."""
    radius_mm = rng.uniform(1.2, 5.0)
    away, noise = _spot(canvas, rng, radius_mm)
    weight = inside(away - radius_mm * (1.0 + 0.12 * noise), 0.6)
    ground = np.maximum(canvas.height_mm - rng.uniform(2.2, 6.0), _FLOOR_MM) + 0.15 * noise
    canvas.level(weight, np.minimum(canvas.height_mm, ground))
    rough = smooth_noise(rng, canvas.u_mm, canvas.v_mm, 1.0)
    canvas.paint(0.8 * weight, canvas.core * (0.8 + 0.1 * rough)[..., None], gloss=0.05)


def bump(canvas: Canvas, rng: np.random.Generator) -> None:
    """A blister of 5 to 14 mm across, 1.2 to 3.2 mm high; its colour is the part's own."""
    radius_mm = rng.uniform(2.5, 7.0)
    away, noise = _spot(canvas, rng, radius_mm)
    rise = np.clip(1.0 - (away / (radius_mm * (1.0 + 0.08 * noise))) ** 2, 0.0, 1.0)
    canvas.lift(np.float32(rng.uniform(1.2, 3.2)) * rise**1.5)


def dent(canvas: Canvas, rng: np.random.Generator) -> None:
    """A knock of 4 to 10 mm across, 0.7 to 1.8 mm deep, its rim pushed up; its colour is the part's own."""
    radius_mm = rng.uniform(2.0, 5.0)
    away, noise = _spot(canvas, rng, radius_mm)
    reach = away / (radius_mm * (1.0 + 0.08 * noise))
    bowl = np.clip(1.0 - reach**2, 0.0, 1.0)
    rim = np.exp(-(((reach - 1.1) / 0.18) ** 2))
    canvas.lift(-np.float32(rng.uniform(0.7, 1.8)) * (bowl - 0.15 * rim))


def scratch(canvas: Canvas, rng: np.random.Generator) -> None:
    """A curved groove 14 to 34 mm long and about a millimetre wide that lays the core bare."""
    u0, v0 = _place(canvas, rng, margin_mm=3.0)
    heading, length_mm = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(14.0, 34.0)
    turns = np.cumsum(rng.normal(0.0, 0.12, 8)) + heading
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length_mm / len(turns))
    points = np.concatenate([[[0.0, 0.0]], np.cumsum(steps, axis=0)])
    points += np.array([u0, v0]) - points[len(points) // 2]
    half_mm, pressure = rng.uniform(0.45, 0.9), smooth_noise(rng, canvas.u_mm, canvas.v_mm, 6.0)
    distance = polyline_distance(canvas.u_mm, canvas.v_mm, points)
    weight = inside(distance - half_mm * (1.0 + 0.15 * pressure), 0.4) * canvas.part
    canvas.lift(-rng.uniform(0.3, 0.8) * weight)
    canvas.paint(rng.uniform(0.55, 0.85) * weight, canvas.core, gloss=0.05)


def stain(canvas: Canvas, rng: np.random.Generator) -> None:
    """A spill of 4 to 16 mm across with a ragged edge and a few drops beside it; it has no height."""
    radius_mm = rng.uniform(2.0, 8.0)
    away, noise = _spot(canvas, rng, radius_mm * 0.6)
    ragged = smooth_noise(rng, canvas.u_mm, canvas.v_mm, 1.6)
    edge = radius_mm * (0.85 + 0.3 * noise + 0.08 * ragged)
    drops = ramp(ragged + 0.6 * noise - 0.9 * away / np.float32(radius_mm), 0.75, 0.95)
    weight = np.maximum(inside(away - edge, 0.7), drops) * canvas.part
    opacity = rng.uniform(0.55, 0.9) * (1.0 + 0.1 * noise)
    canvas.paint(
        np.clip(weight * opacity, 0.0, 1.0), _stain_colour(canvas, weight, rng), gloss=rng.uniform(0.1, 0.7)
    )


def missing(canvas: Canvas, rng: np.random.Generator) -> None:
    """A piece broken off the outline: a rough slope of core where there was a surface."""
    (u0, v0), (in_u, in_v) = _outline_place(canvas, rng)
    bite_mm, depth_mm = rng.uniform(9.0, 28.0), rng.uniform(5.0, 11.0)
    centre = (u0 - in_u * bite_mm, v0 - in_v * bite_mm)
    u_mm, v_mm = turned(canvas.u_mm, canvas.v_mm, centre, 0.0)
    wander = smooth_noise(rng, canvas.u_mm, canvas.v_mm, 5.0)
    rough = smooth_noise(rng, canvas.u_mm, canvas.v_mm, 1.3)
    distance = np.hypot(u_mm, v_mm) - bite_mm - depth_mm + 0.9 * wander + 0.25 * rough
    weight = inside(distance, 0.4)
    wall = np.clip(1.0 + distance / np.float32(rng.uniform(1.5, 4.0)), 0.0, 1.0)
    ground = rng.uniform(_FLOOR_MM, 7.5) + 0.35 * rough + 0.3 * wander
    broken = ground + wall * np.maximum(canvas.height_mm - ground, 0.0)
    canvas.level(weight, np.minimum(canvas.height_mm, broken))
    canvas.paint(weight, canvas.core * (0.95 + 0.12 * rough)[..., None], gloss=0.03)


DAMAGES: Mapping[str, Damage] = MappingProxyType(
    {"hole": hole, "bump": bump, "dent": dent, "scratch": scratch, "stain": stain, "missing": missing}
)
"""The defects that are damage to a finished part; a "swap" and a "misgrade" are made (category.py)."""


def _spot(canvas: Canvas, rng: np.random.Generator, margin_mm: float) -> tuple[Field, Field]:
    """Distance from a random place on the part, and noise to make an outline irregular with."""
    u_mm, v_mm = turned(
        canvas.u_mm, canvas.v_mm, _place(canvas, rng, margin_mm), rng.uniform(0.0, 2.0 * np.pi)
    )
    stretch = np.float32(rng.uniform(0.85, 1.2))
    return np.hypot(u_mm * stretch, v_mm / stretch), smooth_noise(rng, u_mm, v_mm, max(margin_mm, 1.5))


def _place(canvas: Canvas, rng: np.random.Generator, margin_mm: float) -> tuple[float, float]:
    """A random point on the part, `margin_mm` from its outline if the part is wide enough."""
    depth_mm = _depth_mm(canvas)
    candidates = np.flatnonzero(depth_mm >= min(margin_mm, 0.8 * float(depth_mm.max())))
    chosen = candidates[int(rng.random() * len(candidates))]
    return float(canvas.u_mm.flat[chosen]), float(canvas.v_mm.flat[chosen])


def _outline_place(
    canvas: Canvas, rng: np.random.Generator
) -> tuple[tuple[float, float], tuple[float, float]]:
    """A random point on the outline and the unit direction from there into the part."""
    rim = np.flatnonzero(canvas.part & ~ndimage.binary_erosion(canvas.part))
    chosen = rim[int(rng.random() * len(rim))]
    u0, v0 = float(canvas.u_mm.flat[chosen]), float(canvas.v_mm.flat[chosen])
    near = canvas.part & (np.hypot(canvas.u_mm - u0, canvas.v_mm - v0) < 12.0)
    du, dv = float(canvas.u_mm[near].mean()) - u0, float(canvas.v_mm[near].mean()) - v0
    length = max(float(np.hypot(du, dv)), 1e-6)
    return (u0, v0), (du / length, dv / length)


def _depth_mm(canvas: Canvas) -> NDArray[np.float64]:
    """Distance of every point of the part from its outline."""
    pitch_mm = float(np.hypot(canvas.u_mm[0, 1] - canvas.u_mm[0, 0], canvas.v_mm[0, 1] - canvas.v_mm[0, 0]))
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(canvas.part) * pitch_mm
    return depth


def _stain_colour(canvas: Canvas, weight: Field, rng: np.random.Generator) -> Colour:
    """A colour that can be seen at the stain: a black spill on a black chip could not be found."""
    under = canvas.albedo[weight > 0.5].mean(axis=0) if (weight > 0.5).any() else canvas.core
    for index in rng.permutation(len(_STAINS)):
        candidate = mix(colour(_STAINS[index]), under, 0.15)
        if np.abs(np.sqrt(candidate) - np.sqrt(np.maximum(under, 0.0))).max() > 0.18:
            return candidate
    return candidate
