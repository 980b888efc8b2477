"""A part's surface: height, colour and gloss over a plane, and the strokes that draw them."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmfm_sim.datasets.synthetic.sampling import Field

Colour: TypeAlias = NDArray[np.floating[Any]]
"""Linear (not gamma-coded) reflectance, (3,) for one colour or (..., 3) for one a point."""


def colour(code: str) -> Colour:
    """Linear reflectance of an sRGB colour "rrggbb"."""
    srgb = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.float32) / 255.0
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def mix(first: Colour, second: Colour, share: Field | float) -> Colour:
    """`share` of the second colour in the first: (3,) for a number, (..., 3) for a field."""
    weight = np.asarray(share, dtype=np.float32)[..., None]
    return np.asarray(first + weight * (second - first), dtype=np.float32).squeeze()


@dataclass(slots=True)
class Canvas:
    """A surface while it is drawn, over points `u_mm`, `v_mm` (both (n, m)) of the part's own frame.

    `height_mm` (n, m) above the tray, `albedo` (n, m, 3) linear reflectance, `gloss` (n, m) from 0 to 1,
    `part` (n, m) bool, `core` (3,) the colour of the broken surface.
    """

    u_mm: Field
    v_mm: Field
    core: Colour = field(default_factory=lambda: colour("808080"))
    height_mm: Field = field(init=False)
    albedo: Colour = field(init=False)
    gloss: Field = field(init=False)
    part: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.u_mm.shape
        self.height_mm = np.zeros(shape, dtype=np.float32)
        self.albedo = np.zeros((*shape, 3), dtype=np.float32)
        self.gloss = np.zeros(shape, dtype=np.float32)
        self.part = np.zeros(shape, dtype=np.bool_)

    def body(self, distance_mm: Field, height_mm: Field, albedo: Colour, gloss: float, core: Colour) -> None:
        """Lay the part's body down: `height_mm` inside its outline (signed distance), the tray outside."""
        self.part = distance_mm < 0.0
        self.height_mm = np.where(self.part, height_mm, 0.0).astype(np.float32)
        self.albedo = np.broadcast_to(albedo, self.albedo.shape).astype(np.float32)
        self.gloss = np.full(self.gloss.shape, gloss, dtype=np.float32)
        self.core = core

    def lift(self, amount_mm: Field) -> None:
        """Add to the height, on the part only."""
        self.height_mm += np.where(self.part, amount_mm, 0.0).astype(np.float32)

    def level(self, weight: Field, height_mm: Field | float) -> None:
        """Draw the height towards `height_mm` where `weight` is 1, on the part only."""
        pull = np.where(self.part, weight, 0.0).astype(np.float32)
        self.height_mm += pull * (np.asarray(height_mm, dtype=np.float32) - self.height_mm)

    def paint(self, weight: Field, albedo: Colour, gloss: float | None = None) -> None:
        """Cover with a colour in proportion to `weight`, 0 to 1."""
        self.albedo += weight[..., None] * (albedo - self.albedo)
        if gloss is not None:
            self.gloss += weight * (np.float32(gloss) - self.gloss)

    def copy(self) -> "Canvas":
        """The same surface in arrays of its own."""
        other = Canvas(self.u_mm, self.v_mm, self.core)
        other.height_mm, other.albedo = self.height_mm.copy(), self.albedo.copy()
        other.gloss, other.part = self.gloss.copy(), self.part.copy()
        return other
