"""Renders one part of the second family: from a seed to the data of its camera and its fringe projector."""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.second.flaws import FLAWS
from cmfm_sim.datasets.second.parts import CATEGORIES, Product, Surface
from cmfm_sim.datasets.second.relief import Grid, Texture, blend, edge, rgb, texture_source

GOOD = "good"
MISPAIRED = "mispaired"
DEFECTS: tuple[str, ...] = (*FLAWS, MISPAIRED)

_PICTURE_MM = 118.0
_FOCAL_PX_A_SIDE = 5.0  # focal length over the picture's side
_SEEN_MM, _SEEN_SHADE = 0.15, 0.04  # changes of height and of √reflectance that are marked


@dataclass(frozen=True, slots=True)
class Part:
    """A rendered part: `rgb` (H, W, 3) uint8, `xyz` (H, W, 3) float32 metres with NaN where nothing was measured,
    `gt` (H, W) bool, `info` the `plane` of the tray, `focal_px`, and both lists of latents.
    """

    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    gt: NDArray[np.bool_]
    info: dict[str, Any]


def render_part(category: str, *, seed: int, split: str, defect: str, index: int, size_px: int = 400) -> Part:
    """Render part `index`; the same arguments give the same part.

    Raises ValueError for an unknown category or defect.
    """
    if category not in CATEGORIES or defect not in (GOOD, *DEFECTS):
        raise ValueError(f"no such part: category {category!r}, defect {defect!r}")
    root = np.random.SeedSequence([seed, 2, zlib.crc32(f"{category}/{split}/{defect}/{index}".encode())])
    lottery = [np.random.default_rng(child) for child in root.spawn(5)]
    pose, body, flaw, light, sensor = lottery
    grid = Grid.square(size_px, _PICTURE_MM)
    at = grid.seen_from(pose.uniform(-4, 4), pose.uniform(-4, 4), pose.uniform(-0.35, 0.35))
    good, made, latents = _made(CATEGORIES[category], at, defect, body, flaw)
    texture = texture_source(grid, light)
    plane = _tray(pose)
    xyz = _points(made, grid, plane, texture, sensor)
    return Part(
        rgb=_picture(made, grid, texture, light),
        xyz=xyz,
        gt=_marked(good, made, grid.pitch_mm),
        info={"plane": plane, "focal_px": _FOCAL_PX_A_SIDE * size_px, "latents": latents},
    )


def _made(
    product: Product, grid: Grid, defect: str, body: np.random.Generator, flaw: np.random.Generator
) -> tuple[Surface, Surface, tuple[list[float], list[float]]]:
    """The nominal part and the made one; the latents of its shape and of its colour."""
    shape = body.uniform(size=product.latents).tolist()
    hue = list(shape)
    if defect == MISPAIRED:
        i = int(flaw.integers(product.latents))
        hue[i] = (hue[i] + flaw.uniform(0.4, 0.6)) % 1.0
    state = body.bit_generator.state

    def drawn(hue: list[float]) -> Surface:
        body.bit_generator.state = state
        texture = texture_source(grid, body)
        surface = product.draw(grid, shape, hue, texture, body)
        _chance(surface, grid, texture, body)
        return surface

    good, made = drawn(shape), drawn(hue)
    if defect in FLAWS:
        FLAWS[defect](made, grid, texture_source(grid, flaw), flaw)
    return good, made, (shape, hue)


def _chance(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> None:
    """Add differences between good parts that show in one modality: sagging, pimples; dirt, fading, specks."""
    surface.height_mm += surface.body * (0.15 * texture(8.0, 2.5) + rng.normal(0, 0.15) * (grid.x / 40) ** 2)
    pimples = texture(1.0, 0.5) > 3.4
    surface.height_mm += (
        surface.body * 1.5 * ndimage.gaussian_filter(pimples.astype(float), 1.0 / grid.pitch_mm)
    )
    surface.albedo *= (1 + rng.uniform(0, 0.08) * texture(6.0, 2.0))[..., None]
    specks = edge(texture(0.6, 0.6) - rng.uniform(3.3, 4.2), 0.8)
    surface.albedo = blend(
        surface.albedo, np.full(3, rng.choice((0.05, 0.65)), dtype=np.float32), 0.45 * specks
    )


def _tray(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """n·p + d = 0 with n towards the camera, 0.55 to 0.62 m away."""
    tilt = rng.normal(0, 0.025, 2)
    normal = np.array([tilt[0], tilt[1], -1.0]) / np.sqrt(1 + tilt @ tilt)
    distance = rng.uniform(0.55, 0.62)
    return float(normal[0]), float(normal[1]), float(normal[2]), float(-normal[2] * distance)


def _picture(surface: Surface, grid: Grid, texture: Texture, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A cloudy sky: light that varies smoothly with the normal and is less in hollows; a camera with vignetting."""
    tray = rgb(0.20, 0.20, 0.19) * (1 + 0.05 * texture(0.7, 0.5))[..., None]
    albedo = np.where(surface.body[..., None], surface.albedo, tray)
    dy, dx = np.gradient(ndimage.gaussian_filter(surface.height_mm, 0.4 / grid.pitch_mm), grid.pitch_mm)
    up = 1.0 / np.sqrt(1 + dx**2 + dy**2)
    ahead = rng.uniform(0, 0.5)
    sky = 0.62 * up + 0.22 * (dx * math.cos(ahead) + dy * math.sin(ahead)) * up + 0.16 * up**2
    hollow = ndimage.gaussian_filter(surface.height_mm, 2.5 / grid.pitch_mm) - surface.height_mm
    sky = np.clip(sky, 0.05, None) * np.clip(1 - 0.10 * np.clip(hollow, 0, None), 0.3, 1)
    shine = 0.05 * np.clip(up, 0, 1) ** 40
    vignette = 1 - 0.15 * (grid.radius / grid.radius.max()) ** 2
    balance = (1.35 * rng.uniform(0.88, 1.12) * (1 + rng.normal(0, 0.02, 3))).astype(np.float32)
    seen = (albedo * sky[..., None] + shine[..., None]) * vignette[..., None] * balance
    seen = ndimage.gaussian_filter(seen, (0.6, 0.6, 0))
    noise = rng.standard_normal(seen.shape, dtype=np.float32)
    seen += noise * (0.003 + 0.008 * np.sqrt(np.clip(seen, 0, 1)))
    return np.asarray(np.round(255 * np.clip(seen, 0, 1) ** (1 / 2.2)), dtype=np.uint8)


def _points(
    surface: Surface,
    grid: Grid,
    plane: tuple[float, float, float, float],
    texture: Texture,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """A fringe projector: a ripple of its period, more noise and loss in the dark, loss on walls."""
    size = len(grid.x)
    ray = (np.arange(size) + 0.5 - size / 2) / (_FOCAL_PX_A_SIDE * size)
    ray_x, ray_y = np.meshgrid(ray, ray)
    normal, d = np.array(plane[:3]), plane[3]
    bright = ndimage.gaussian_filter(surface.albedo.mean(axis=-1), 1.0)
    ripple = 0.035 * np.sin(2 * np.pi * (grid.x / 3.1 + surface.height_mm / 4.0) + rng.uniform(0, 6))
    noise = rng.standard_normal(bright.shape, dtype=np.float32) * 0.035 / np.sqrt(bright + 0.05)
    height_mm = np.where(surface.body, surface.height_mm, 0.05 * texture(1.0, 1.0)) + ripple + noise
    # n·p + d is the height: solved for the depth along each ray.
    z = (height_mm / 1000.0 - d) / (normal[0] * ray_x + normal[1] * ray_y + normal[2])
    points = np.stack([ray_x * z, ray_y * z, z], axis=-1).astype(np.float32)
    steep = ndimage.gaussian_gradient_magnitude(surface.height_mm, 1.0) / grid.pitch_mm
    lost = rng.random(bright.shape) < 0.001 + 0.8 * np.clip((steep - 2.2) / 3.0, 0, 1) + 0.02 * (
        bright < 0.03
    )
    points[lost] = np.nan
    return points


def _marked(good: Surface, made: Surface, pitch_mm: float) -> NDArray[np.bool_]:
    """Mask of changes in height or reflectance, with gaps up to 2 mm closed and specks below 1.5 mm² left out."""
    shade = np.abs(np.sqrt(np.clip(made.albedo, 0, None)) - np.sqrt(np.clip(good.albedo, 0, None))).max(
        axis=-1
    )
    changed = ((np.abs(made.height_mm - good.height_mm) > _SEEN_MM) | (shade > _SEEN_SHADE)) & good.body
    reach = max(1, round(1.0 / pitch_mm))
    closed = ndimage.binary_closing(np.pad(changed, 2 * reach), np.ones((3, 3), np.bool_), iterations=reach)
    closed = closed[2 * reach : -2 * reach, 2 * reach : -2 * reach] & good.body
    labels, _ = ndimage.label(closed, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(closed & (sizes >= min(1.5 / pitch_mm**2, sizes.max()))[labels])
