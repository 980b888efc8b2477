"""The second family's products: on each, colour and shape follow the same latents.

A product is drawn from two lists of latents in [0, 1), one for its shape and one for its colour. On a good part they
are the same list.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from cmfm_sim.datasets.second.relief import Array, Grid, Mask, Texture, blend, cap, edge, rgb

Latents = Sequence[float]


@dataclass(slots=True)
class Surface:
    """A part on its pixel grid: `height_mm` (n, n) above the tray, linear `albedo` (n, n, 3), `body` (n, n) bool."""

    height_mm: Array
    albedo: Array
    body: Mask


@dataclass(frozen=True, slots=True)
class Product:
    """One category: its number of latents, and `draw`, which draws a part from latents of shape and of colour."""

    name: str
    description: str
    latents: int
    draw: Callable[[Grid, Latents, Latents, Texture, np.random.Generator], Surface]


def _gear(grid: Grid, shape: Latents, hue: Latents, texture: Texture, rng: np.random.Generator) -> Surface:
    """A sintered gear: spokes of different depth, tempered to a colour that follows the depth."""
    teeth = 0.5 + 0.5 * np.cos(18 * grid.angle + rng.uniform(0, 6))
    outline = 34.0 + 3.5 * teeth**0.7 - grid.radius
    inside = edge(outline, 0.8) * edge(grid.radius - 6.0, 0.8)
    height = 12.0 + 2.0 * edge(11.0 - grid.radius, 1.0) + 0.05 * texture(0.6, 0.5)
    steel = rgb(0.30, 0.31, 0.33) * (1 + 0.05 * texture(0.5, 0.6))[..., None]
    ring = edge(grid.radius - 13.5, 0.8) * edge(28.5 - grid.radius, 0.8)
    turn = rng.uniform(0, 2 * np.pi)
    for i, (depth, temper) in enumerate(zip(shape, hue, strict=True)):
        middle = turn + 2 * np.pi * i / len(shape)
        apart = np.abs((grid.angle - middle + np.pi) % (2 * np.pi) - np.pi) * grid.radius
        sector = ring * edge(rng.uniform(8.0, 9.5) - apart, 0.8)
        height -= sector * (0.6 + 4.0 * depth)
        tint = blend(rgb(0.46, 0.36, 0.14), rgb(0.10, 0.15, 0.42), temper)
        steel = blend(steel, tint * (1 + 0.04 * texture(1.0, 1.0))[..., None], 0.85 * sector)
    return Surface(height * (inside > 0.5), steel, inside > 0.5)


def _fruit(grid: Grid, shape: Latents, hue: Latents, texture: Texture, rng: np.random.Generator) -> Surface:
    """A tray of stone fruits: the riper, the larger and flatter, and the redder."""
    height, albedo = np.zeros_like(grid.x), np.zeros((*grid.x.shape, 3), dtype=np.float32)
    for i, (ripe, red) in enumerate(zip(shape, hue, strict=True)):
        place = ((i % 3 - 1) * 24.0 + rng.uniform(-1, 1), (i // 3 - 0.5) * 25.0 + rng.uniform(-1, 1))
        at = grid.seen_from(*place, rng.uniform(0, 2 * np.pi))
        wide = 11.6 + rng.uniform(-0.3, 0.3)
        round_ = cap(at, wide, wide * rng.uniform(0.94, 1.0), 2.0)
        fruit = round_ * (22.0 - 8.0 * ripe) + 6.0 * (round_ > 0)
        fruit -= 2.2 * np.exp(-((at.radius / 2.4) ** 2)) + 0.9 * np.exp(-((at.y / 0.9) ** 2)) * (at.x > 0)
        skin = blend(
            rgb(0.75, 0.52, 0.10), rgb(0.50, 0.06, 0.05), np.clip(0.1 + 0.8 * red + 0.1 * texture(2, 2), 0, 1)
        )
        skin = blend(skin, rgb(0.25, 0.22, 0.05), 0.8 * np.exp(-((at.radius / 2.0) ** 2)))
        first = fruit > height
        height, albedo = np.where(first, fruit, height), np.where(first[..., None], skin, albedo)
    return Surface(height, albedo, height > 0)


def _tile(grid: Grid, shape: Latents, hue: Latents, texture: Texture, rng: np.random.Generator) -> Surface:
    """A pressed tile under glaze, which pools in its depths; each field has its own relief and glaze."""
    inside = edge(35.0 - np.abs(grid.x), 0.6) * edge(35.0 - np.abs(grid.y), 0.6)
    height = 11.0 - 1.2 * (1 - edge(33.5 - np.maximum(np.abs(grid.x), np.abs(grid.y)), 2.0))
    albedo = (
        np.broadcast_to(rgb(0.42, 0.38, 0.30), (*grid.x.shape, 3)) * (1 + 0.04 * texture(0.6, 1))[..., None]
    )
    for i, (deep, glaze) in enumerate(zip(shape, hue, strict=True)):
        at = grid.seen_from((i % 3 - 1) * 22.0, (i // 3 - 1) * 22.0, rng.integers(4) * np.pi / 2)
        field = edge(9.6 - np.abs(at.x), 0.8) * edge(9.6 - np.abs(at.y), 0.8)
        relief = np.cos(at.x * 0.65 + rng.uniform(0, 6)) * np.cos(at.y * 0.65 + rng.uniform(0, 6))
        height = height - field * (0.4 + 2.2 * deep - 0.6 * relief)
        pooled = np.clip(0.55 - 0.45 * relief, 0, 1)
        colour = blend(rgb(0.06, 0.30, 0.30), rgb(0.48, 0.16, 0.07), glaze)
        albedo = blend(albedo, colour * (1.35 - 0.75 * pooled)[..., None], 0.95 * field)
    return Surface(height * (inside > 0.5), albedo, inside > 0.5)


def _insole(grid: Grid, shape: Latents, hue: Latents, texture: Texture, rng: np.random.Generator) -> Surface:
    """A foam insole with pads let into it: the softer the pad, the higher it is moulded, and the bluer its foam."""
    waist = 15.0 + 4.0 * np.cos(grid.x / 14.0 + 0.5) + 1.0 * np.sin(grid.x / 9.0)
    inside = edge(np.minimum(waist - np.abs(grid.y), 45.0 - np.abs(grid.x)), 0.8)
    cells = 0.35 * np.cos(1.1 * grid.x) * np.cos(1.1 * grid.y)
    height = (
        9.0 + 2.5 * (np.abs(grid.y) / 18.0) ** 2 + 1.5 * (grid.x / 45.0) ** 2 + cells + 0.08 * texture(0.8, 1)
    )
    foam = blend(rgb(0.20, 0.21, 0.22), rgb(0.36, 0.36, 0.34), np.clip(0.5 + 0.9 * cells, 0, 1))
    foam = foam * (1 + 0.06 * texture(0.7, 0.8))[..., None]
    for i, (soft, blue) in enumerate(zip(shape, hue, strict=True)):
        at = grid.seen_from(
            (i - (len(shape) - 1) / 2) * 17.0 + rng.uniform(-0.8, 0.8), rng.uniform(-1.0, 1.0)
        )
        pad = edge((1 - (np.abs(at.x / 7.0) ** 3 + np.abs(at.y / 9.0) ** 3) ** (1 / 3)) * 7.0, 0.9)
        ribs = 0.5 + 0.5 * np.cos(at.y * (0.8 + 1.6 * soft))
        height = height + pad * (0.3 + 2.8 * soft) * (0.6 + 0.4 * ribs)
        dyed = blend(rgb(0.62, 0.20, 0.08), rgb(0.05, 0.18, 0.50), blue)
        foam = blend(foam, dyed * (1 + 0.05 * texture(0.8, 1))[..., None], 0.9 * pad)
    return Surface(height * (inside > 0.5), foam, inside > 0.5)


def _seal(grid: Grid, shape: Latents, hue: Latents, texture: Texture, rng: np.random.Generator) -> Surface:
    """A ring seal wound with cords: the thicker a cord, the lighter it is dyed."""
    along = (grid.angle / (2 * np.pi) + rng.uniform()) % 1.0
    piece = np.minimum((along * len(shape)).astype(int), len(shape) - 1)
    within = along * len(shape) - piece
    tapered = edge(np.minimum(within, 1 - within) * 20.0 - 1.0, 1.5)
    across = grid.radius - 27.0
    thick = np.asarray(shape, dtype=np.float32)[piece]
    half = 9.0
    body = np.abs(across) < half
    arch = np.sqrt(np.clip(1.0 - (across / half) ** 2, 0, 1))
    strands = np.cos(2 * np.pi * (grid.angle * 8.0 + across * 0.25))
    height = 7.0 + 5.0 * arch + tapered * (0.4 + 3.0 * thick) * arch + 0.35 * strands * tapered * arch
    rubber = rgb(0.10, 0.09, 0.09) * (1 + 0.08 * texture(0.6, 0.6))[..., None]
    dye = blend(rgb(0.12, 0.18, 0.08), rgb(0.60, 0.58, 0.30), np.asarray(hue, dtype=np.float32)[piece])
    cord = dye * (1 + 0.18 * strands + 0.05 * texture(0.6, 0.5))[..., None]
    return Surface(height * body, blend(rubber, cord, 0.92 * tapered * edge(7.8 - np.abs(across), 1.0)), body)


CATEGORIES: Mapping[str, Product] = MappingProxyType(
    {
        product.name: product
        for product in (
            Product("fruit", "stone fruits whose blush goes with their shape", 6, _fruit),
            Product("gear", "sintered gear with tempered spokes", 5, _gear),
            Product("insole", "foam insole with moulded, dyed pads", 5, _insole),
            Product("seal", "ring seal wound with dyed cords", 9, _seal),
            Product("tile", "pressed tile with pooled glazes", 9, _tile),
        )
    }
)
