"""Flaws of the second family, drawn into a finished surface in place."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from cmfm_sim.datasets.second.parts import Surface
from cmfm_sim.datasets.second.relief import Array, Grid, Texture, blend, edge, rgb

Flaw: TypeAlias = Callable[[Surface, Grid, Texture, np.random.Generator], None]

_LOWEST_MM = 6.0  # lowest height that a flaw leaves: less than 5 mm above the tray would count as tray


def crater(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> None:
    """A blow hole of 3 to 10 mm across, dark inside."""
    at = _somewhere(surface, grid, rng)
    weight = edge(rng.uniform(1.5, 5.0) - at.radius + 0.3 * texture(1.0, 1.5), 0.7)
    _sink(surface, weight * rng.uniform(2.0, 5.0))
    surface.albedo = blend(surface.albedo, 0.45 * surface.albedo, 0.9 * weight)


def lump(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> None:
    """Excess material: 4 to 12 mm across, 1 to 2.6 mm high, in the part's own colour."""
    at = _somewhere(surface, grid, rng)
    wide = rng.uniform(1.2, 3.5)
    surface.height_mm += (
        rng.uniform(1.0, 2.6)
        * np.exp(-((at.radius / wide) ** 2))
        * (1 + 0.1 * texture(1.5, 2))
        * surface.body
    )


def press_mark(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> None:
    """A pressed-in corner: a shallow wedge, 0.5 to 1.5 mm deep; the colour stays."""
    at = _somewhere(surface, grid, rng)
    half = rng.uniform(1.8, 5.0)
    weight = edge(half - np.maximum(np.abs(at.x), np.abs(at.y) * 1.4), 0.8)
    _sink(
        surface,
        weight * (rng.uniform(0.5, 1.5) * np.clip(0.6 + 0.4 * at.x / half, 0, 1) + 0.02 * texture(1, 1)),
    )


def cut(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> None:
    """A straight cut, 10 to 35 mm long and about a millimetre wide, lighter than its surroundings."""
    at = _somewhere(surface, grid, rng)
    reach, half = rng.uniform(5.0, 17.0), rng.uniform(0.4, 0.8)
    bowed = at.y - 0.01 * rng.normal() * at.x**2
    weight = edge(half - np.abs(bowed), 0.5) * edge(reach - np.abs(at.x), 1.5) * surface.body
    _sink(surface, weight * rng.uniform(0.3, 0.8))
    bare = (
        0.3 * surface.albedo
        + 0.7 * surface.albedo.max(axis=-1, keepdims=True)
        + 0.1
        + 0.02 * texture(1, 1)[..., None]
    )
    surface.albedo = blend(surface.albedo, bare, rng.uniform(0.5, 0.8) * weight)


def blot(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> None:
    """A thin spill, 4 to 16 mm across: it only colours."""
    at = _somewhere(surface, grid, rng)
    weight = edge(rng.uniform(2.0, 8.0) - at.radius + 1.2 * texture(2.0, 2.5), 1.2) * surface.body
    inks = (rgb(0.02, 0.02, 0.03), rgb(0.05, 0.10, 0.40), rgb(0.02, 0.16, 0.05), rgb(0.75, 0.72, 0.62))
    under = surface.albedo[weight > 0.5].mean(axis=0) if (weight > 0.5).any() else rgb(0.3, 0.3, 0.3)
    ink = max(
        inks, key=lambda tint: rng.random() + 2.0 * (np.abs(np.sqrt(tint) - np.sqrt(under)).max() > 0.2)
    )
    surface.albedo = blend(surface.albedo, ink, rng.uniform(0.55, 0.9) * weight)


def chip(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> None:
    """A flake off an edge, 5 to 16 mm wide: a slanted break."""
    rim = surface.body & ~ndimage.binary_erosion(surface.body, iterations=2, border_value=1)
    at = _somewhere(Surface(surface.height_mm, surface.albedo, rim), grid, rng)
    weight = edge(rng.uniform(2.5, 8.0) - at.radius + 0.7 * texture(2.0, 2), 0.6) * surface.body
    broken = np.maximum(_LOWEST_MM + 0.3 * texture(1.0, 1), surface.height_mm - rng.uniform(2.5, 6.0))
    surface.height_mm = surface.height_mm + weight * (
        np.minimum(broken, surface.height_mm) - surface.height_mm
    )
    core = 0.5 * surface.albedo[surface.body].mean(axis=0) + rgb(0.16, 0.15, 0.13)
    surface.albedo = blend(surface.albedo, core * (1 + 0.15 * texture(1.0, 1))[..., None], 0.9 * weight)


FLAWS: Mapping[str, Flaw] = MappingProxyType(
    {"crater": crater, "lump": lump, "press_mark": press_mark, "cut": cut, "blot": blot, "chip": chip}
)


def _somewhere(surface: Surface, grid: Grid, rng: np.random.Generator) -> Grid:
    """Axes at a random pixel of the body, turned at random."""
    candidates = np.flatnonzero(surface.body)
    chosen = candidates[rng.integers(len(candidates))]
    return grid.seen_from(float(grid.x.flat[chosen]), float(grid.y.flat[chosen]), rng.uniform(0, 2 * np.pi))


def _sink(surface: Surface, depth_mm: Array) -> None:
    lowered = np.maximum(surface.height_mm - depth_mm, np.minimum(surface.height_mm, _LOWEST_MM))
    surface.height_mm = np.where(surface.body, lowered, surface.height_mm)
