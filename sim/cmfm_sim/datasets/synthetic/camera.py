"""A camera with a 3D sensor above the tray: from a height field to pixel-registered colours and points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.synthetic.sampling import Field, Sampler

FIELD_OF_VIEW = 0.24  # picture side over distance: 120 mm seen from 0.5 m
_SCENE_MARGIN = 1.16  # the scene is that much wider than what the camera sees from its mean distance
_MEAN_DISTANCE_M = 0.5
_TALLEST_MM = 31.0  # one span for all scenes, so that a bump here moves no point there


@dataclass(frozen=True, slots=True)
class View:
    """Pose and resolution of the camera.

    `size_px` the picture's side; `distance_m` along the optical axis to the tray; `axes` (3, 3) rows: the
    tray's x, y and its normal (towards the camera), in camera coordinates (x right, y down, z away from the
    camera).
    """

    size_px: int
    distance_m: float
    axes: NDArray[np.float64]

    @property
    def focal_px(self) -> float:
        """Focal length in pixels; the principal point is the picture's centre."""
        return self.size_px / FIELD_OF_VIEW

    @property
    def plane(self) -> tuple[float, float, float, float]:
        """The tray as n·p + d = 0, n the unit normal that points to the camera, d in metres."""
        normal = self.axes[2]
        return float(normal[0]), float(normal[1]), float(normal[2]), float(-normal[2] * self.distance_m)


@dataclass(frozen=True, slots=True)
class Hits:
    """Points that the pixels see: `places` (H, W) on the scene's grid, and `z_m` (H, W) along the optical axis."""

    places: Sampler
    z_m: Field


def draw_view(size_px: int, rng: np.random.Generator) -> View:
    """A camera at 0.47 to 0.53 m above a tray tilted by up to about 5 degrees."""
    tilt_x, tilt_y = np.deg2rad(rng.uniform(-3.5, 3.5, 2))
    normal = np.array([np.sin(tilt_x), np.sin(tilt_y), -1.0])
    normal /= np.linalg.norm(normal)
    x = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    x /= np.linalg.norm(x)
    return View(size_px, float(rng.uniform(0.47, 0.53)), np.stack([x, np.cross(x, normal), normal]))


def scene_coordinates(size_px: int) -> tuple[Field, Field, float]:
    """Points of the tray, x_mm (n, n) along columns and y_mm (n, n) along rows, and their pitch in mm."""
    side_mm = 1000.0 * FIELD_OF_VIEW * _MEAN_DISTANCE_M * _SCENE_MARGIN
    count = int(np.ceil(size_px * _SCENE_MARGIN * 1.05))
    axis = np.linspace(-side_mm / 2, side_mm / 2, count, dtype=np.float32)
    x_mm, y_mm = np.meshgrid(axis, axis)
    return x_mm, y_mm, side_mm / (count - 1)


def rays(view: View) -> tuple[Field, Field]:
    """x/z and y/z of the ray through every pixel's centre, each (H, W)."""
    axis = (np.arange(view.size_px, dtype=np.float32) - np.float32((view.size_px - 1) / 2)) / view.focal_px
    x, y = np.meshgrid(axis.astype(np.float32), axis.astype(np.float32))
    return x, y


def look(view: View, height_mm: Field, pitch_mm: float) -> Hits:
    """Find the points where the rays meet the height field, by halving the span of possible heights."""
    ray_x, ray_y = rays(view)
    x, y, normal = view.axes.astype(np.float32)
    along_x, along_y = ray_x * x[0] + ray_y * x[1] + x[2], ray_x * y[0] + ray_y * y[1] + y[2]
    along_up = ray_x * normal[0] + ray_y * normal[1] + normal[2]
    origin = (view.axes * view.distance_m)[:, 2].astype(np.float32)  # the tray's origin along its own axes
    centre = np.float32((height_mm.shape[0] - 1) / 2)
    per_px = np.float32(1000.0 / pitch_mm)

    def at(level_mm: Field) -> Hits:
        z_m = (level_mm * np.float32(0.001) + origin[2]) / along_up
        rows, columns = (z_m * along_y - origin[1]) * per_px, (z_m * along_x - origin[0]) * per_px
        return Hits(Sampler.at(height_mm.shape, rows + centre, columns + centre), z_m)

    low = np.full_like(ray_x, min(float(height_mm.min()), -1.0))
    high = np.full_like(ray_x, max(float(height_mm.max()), _TALLEST_MM))
    for _ in range(7):
        level = (low + high) / 2
        below = at(level).places.linear(height_mm) > level
        low, high = np.where(below, level, low), np.where(below, high, level)
    # On a gentle slope the surface under the last guess is the answer to a hundredth of a pixel.
    level = np.clip(at((low + high) / 2).places.linear(height_mm), low, high)
    return at(level)


def photograph(hits: Hits, radiance: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Expose the radiance (n, m, 3): lens blur, shot and read noise, sRGB. (H, W, 3) uint8."""
    channels = [hits.places.linear(np.ascontiguousarray(radiance[..., i])) for i in range(3)]
    seen = np.stack([ndimage.gaussian_filter(channel, 0.75, truncate=2.5) for channel in channels], axis=-1)
    seen += rng.standard_normal(seen.shape, dtype=np.float32) * np.sqrt(
        2e-5 + 1.2e-4 * np.clip(seen, 0.0, 1.0)
    )
    levels = np.arange(4096, dtype=np.float64) / 4095
    srgb = np.where(levels <= 0.0031308, 12.92 * levels, 1.055 * levels ** (1 / 2.4) - 0.055)
    table = np.round(255 * srgb).astype(np.uint8)
    picture: NDArray[np.uint8] = table[np.clip(seen * 4095.0, 0.0, 4095.0).astype(np.int16)]
    return picture


def measure(view: View, hits: Hits, dropout: Field, rng: np.random.Generator) -> NDArray[np.float32]:
    """Measure points (H, W, 3) float32 in metres; (0, 0, 0) for a lost point.

    Depth noise grows with the square of the distance, is partly shared by neighbours, and depth comes in
    steps of 0.1 mm. `dropout` (n, m) on the scene's grid is the chance that a point is lost there.
    """
    shape = hits.z_m.shape
    sigma_m = 6e-5 * (hits.z_m / 0.5) ** 2
    shared = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 1.4) * np.float32(5.0)
    z_m = hits.z_m + sigma_m * (rng.standard_normal(shape, dtype=np.float32) + 0.7 * shared)
    z_m = np.round(z_m * 1e4) / np.float32(1e4)
    ray_x, ray_y = rays(view)
    points = np.stack([ray_x * z_m, ray_y * z_m, z_m], axis=-1).astype(np.float32)
    # Losses come in small clusters, as they do where light is short, and a few anywhere.
    luck = ndimage.gaussian_filter(rng.random(shape, dtype=np.float32) - 0.5, 0.7, truncate=2.5) * 1.5 + 0.5
    chance = hits.places.linear(dropout)
    lost = (chance > 0.02) & (luck < chance)
    lost |= rng.random(shape, dtype=np.float32) < 0.0008
    points[lost] = 0.0
    return points
