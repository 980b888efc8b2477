"""Lights a surface: normals, soft shadows, dark corners, gloss."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.synthetic.canvas import Colour
from cmfm_sim.datasets.synthetic.fields import ramp
from cmfm_sim.datasets.synthetic.sampling import Field


@dataclass(frozen=True, slots=True)
class Lamp:
    """A lamp far away and the light around it.

    `azimuth_rad` in the tray's plane and `elevation_rad` above it say where the lamp stands; `key`,
    `ambient` are strengths; `tint` (3,) is its colour; `slope` (2,) by which share the light grows per metre
    along x and y.
    """

    azimuth_rad: float
    elevation_rad: float
    key: float
    ambient: float
    tint: tuple[float, float, float]
    slope: tuple[float, float]

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector towards the lamp in the tray's frame (x, y, up)."""
        flat = float(np.cos(self.elevation_rad))
        x, y = flat * np.cos(self.azimuth_rad), flat * np.sin(self.azimuth_rad)
        return float(x), float(y), float(np.sin(self.elevation_rad))


def draw_lamp(rng: np.random.Generator) -> Lamp:
    """Draw a lamp as it varies over a shift: gain, colour, position, evenness."""
    warmth, hue = rng.normal(0.0, 0.025, 2)
    return Lamp(
        azimuth_rad=float(np.deg2rad(-125.0 + rng.uniform(-20.0, 20.0))),
        elevation_rad=float(np.deg2rad(rng.uniform(50.0, 60.0))),
        key=float(0.72 * rng.uniform(0.85, 1.15)),
        ambient=float(0.42 * rng.uniform(0.9, 1.1)),
        tint=(float(1.0 + warmth), float(1.0 + hue), float(1.0 - warmth)),
        slope=(float(rng.normal(0.0, 0.8)), float(rng.normal(0.0, 0.8))),
    )


def normals(height_mm: Field, pitch_mm: float) -> tuple[Field, Field, Field]:
    """Unit normals (x, y, up) of a height field whose rows run along y and columns along x."""
    dy, dx = np.gradient(height_mm, pitch_mm)
    up = 1.0 / np.sqrt(1.0 + dx * dx + dy * dy)
    return (-dx * up).astype(np.float32), (-dy * up).astype(np.float32), up.astype(np.float32)


def shade(
    height_mm: Field, albedo: Colour, gloss: Field, pitch_mm: float, lamp: Lamp
) -> tuple[Colour, Field]:
    """Linear radiance (n, m, 3) towards a camera straight above, and the share of it that is glare (n, m)."""
    nx, ny, up = normals(height_mm, pitch_mm)
    lx, ly, lz = lamp.direction
    lit = 1.0 - shadow(height_mm, pitch_mm, lamp.azimuth_rad, lamp.elevation_rad, softness=0.35)
    facing = np.clip(nx * np.float32(lx) + ny * np.float32(ly) + up * np.float32(lz), 0.0, 1.0)
    around = lamp.ambient * corner_light(height_mm, pitch_mm) * (0.6 + 0.4 * up)
    diffuse = around + lamp.key * facing * (0.25 + 0.75 * lit)
    halfway = np.sqrt(
        np.float32((lz + 1.0) / 2.0)
    )  # cosine between up and the half vector of lamp and camera
    towards = (nx * np.float32(lx) + ny * np.float32(ly) + up * np.float32(lz + 1.0)) / (2.0 * halfway)
    # Two lobes: the lamp's own mirror image, and the bright housing around it.
    narrow, wide = np.clip(towards, 0.0, 1.0) ** 90, np.clip(towards, 0.0, 1.0) ** 14
    glare = lamp.key * gloss * lit * (0.5 * gloss * narrow + 0.09 * wide)
    radiance = albedo * diffuse[..., None] + glare[..., None]
    return radiance * np.asarray(lamp.tint, dtype=np.float32), glare


def corner_light(height_mm: Field, pitch_mm: float) -> Field:
    """Approximate share of the sky that a point sees: less below its surroundings."""
    seen = np.ones_like(height_mm)
    for radius_mm, strength in ((1.2, 0.16), (5.0, 0.06)):
        around = ndimage.gaussian_filter(height_mm, radius_mm / pitch_mm, truncate=2.5)
        seen -= np.clip((around - height_mm) * np.float32(strength), 0.0, 0.4)
    return np.clip(seen, 0.25, 1.0)


def shadow(
    height_mm: Field, pitch_mm: float, azimuth_rad: float, elevation_rad: float, softness: float
) -> Field:
    """0 where the lamp is seen, 1 where something stands before it, in between in the half shadow.

    Walks from every point towards the lamp in equal steps and asks how far the surface there stands above
    the ray. `softness` is the width of the half shadow per millimetre of height above the ray.
    """
    rise = float(np.tan(elevation_rad))
    reach_px = int(np.ceil(float(height_mm.max()) / rise / pitch_mm)) + 1
    stride = max(1, reach_px // 24)
    dark = np.zeros_like(height_mm)
    padded = np.pad(height_mm, reach_px + 1)
    rows, columns = height_mm.shape
    for step_px in range(1, reach_px + 1, stride):
        row = reach_px + 1 + round(step_px * float(np.sin(azimuth_rad)))
        column = reach_px + 1 + round(step_px * float(np.cos(azimuth_rad)))
        above = padded[row : row + rows, column : column + columns] - height_mm
        above -= np.float32(step_px * pitch_mm * rise)
        above /= np.float32(softness * (1.0 + step_px * pitch_mm))
        np.maximum(dark, above, out=dark)
    return ramp(dark, 0.0, 1.0)


def glare_dropout(glare: Field) -> NDArray[np.float32]:
    """The chance that a 3D sensor is blinded: from none at a soft shine to one at a mirror's."""
    return ramp(glare, 0.28, 0.5)
