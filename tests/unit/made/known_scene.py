"""Scenes of known geometry: a tilted plane and a cube, seen by cameras of known lens and place.

Every point is the exact intersection of a pixel's ray with a surface, in float64, by formulas of this file alone. So a
registration is compared with the truth, and not with another program's rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A camera: picture size, pinhole, Brown-Conrady distortion (k1, k2, p1, p2, k3), and the scene → camera motion.

    Integer coordinates are the centres of pixels.
    """

    width_px: int = 200
    height_px: int = 160
    fx_px: float = 220.0
    fy_px: float = 220.0
    cx_px: float = 99.5
    cy_px: float = 79.5
    distortion: tuple[float, ...] = ()
    rotation: Points = field(default_factory=lambda: np.eye(3))
    translation_m: Points = field(default_factory=lambda: np.zeros(3))

    def rays(self) -> Points:
        """Directions (H, W, 3) with z = 1 in the camera's frame."""
        columns, rows = np.meshgrid(np.arange(float(self.width_px)), np.arange(float(self.height_px)))
        x, y = (columns - self.cx_px) / self.fx_px, (rows - self.cy_px) / self.fy_px
        undistorted_x, undistorted_y = x, y
        for _ in range(
            200 if self.distortion else 0
        ):  # a contraction for lenses of the kind that tests make up
            moved_x, moved_y = self.distorted(undistorted_x, undistorted_y)
            undistorted_x, undistorted_y = undistorted_x + x - moved_x, undistorted_y + y - moved_y
        return np.stack([undistorted_x, undistorted_y, np.ones_like(x)], axis=-1)

    def distorted(self, x: Points, y: Points) -> tuple[Points, Points]:
        """Distort normalised coordinates."""
        k1, k2, p1, p2, k3 = (*self.distortion, *[0.0] * (5 - len(self.distortion)))
        r2 = x**2 + y**2
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        return x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * radial + p1 * (
            r2 + 2 * y**2
        ) + 2 * p2 * x * y

    def pixels(self, points: Points) -> Points:
        """Columns and rows (..., 2) of points (..., 3) in the camera's frame."""
        x, y = self.distorted(points[..., 0] / points[..., 2], points[..., 1] / points[..., 2])
        return np.stack([x * self.fx_px + self.cx_px, y * self.fy_px + self.cy_px], axis=-1)

    def seen(self, scene_points: Points) -> Points:
        """Points of the scene in the camera's frame."""
        return scene_points @ self.rotation.T + self.translation_m


@dataclass(frozen=True)
class Plane:
    """All points p with normal · p = offset_m."""

    normal: tuple[float, float, float]
    offset_m: float

    def hit(self, origin: Points, directions: Points) -> Points:
        """Ray parameters (...) of the intersections, NaN where there are none."""
        with np.errstate(divide="ignore"):
            t = (self.offset_m - origin @ np.array(self.normal)) / (directions @ np.array(self.normal))
        return np.where(t > 0, t, np.nan)

    def distance_m(self, points: Points) -> Points:
        """Distance (...) of points from the surface."""
        return np.asarray(
            np.abs(points @ np.array(self.normal) - self.offset_m) / np.linalg.norm(self.normal)
        )


@dataclass(frozen=True)
class Cube:
    """A cube of an edge length about a centre, its axes the rows of `axes`."""

    centre_m: tuple[float, float, float]
    edge_m: float
    axes: Points = field(default_factory=lambda: np.eye(3))

    def hit(self, origin: Points, directions: Points) -> Points:
        """Ray parameters (...) of the first intersections, NaN where there are none."""
        start, along = (origin - np.array(self.centre_m)) @ self.axes.T, directions @ self.axes.T
        with np.errstate(divide="ignore", invalid="ignore"):
            first = (-self.edge_m / 2 - start) / along
            second = (self.edge_m / 2 - start) / along
        enters, leaves = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
        return np.where((enters <= leaves) & (enters > 0), enters, np.nan)

    def distance_m(self, points: Points) -> Points:
        """Distance (...) of points from the surface."""
        outside = np.abs((points - np.array(self.centre_m)) @ self.axes.T) - self.edge_m / 2
        away = np.linalg.norm(np.maximum(outside, 0), axis=-1)
        return np.asarray(np.abs(away + np.minimum(outside.max(axis=-1), 0)))


@dataclass(frozen=True)
class KnownScene:
    """Surfaces; a ray ends at the first that it meets."""

    surfaces: Sequence[Plane | Cube]

    def points(self, view: View) -> Points:
        """Points (H, W, 3) in the view's frame, in metres; NaN where a ray meets nothing."""
        rays = view.rays()
        return rays * self._first(view, rays)[..., None]

    def xyz(self, view: View) -> NDArray[np.float32]:
        """The same as a depth sensor gives it."""
        return self.points(view).astype(np.float32)

    def surface_at(self, view: View) -> NDArray[np.int64]:
        """Which surface (H, W) each pixel sees; −1 for none."""
        rays = view.rays()
        hits = self._hits(view, rays)
        nearest = np.argmin(np.where(np.isnan(hits), np.inf, hits), axis=0)
        return np.where(np.isnan(hits).all(axis=0), -1, nearest)

    def scene_points(self, view: View) -> Points:
        """Points (H, W, 3) in the scene's frame."""
        return (self.points(view) - view.translation_m) @ view.rotation

    def picture(self, view: View) -> NDArray[np.uint8]:
        """A picture (H, W, 3) whose colours are a smooth function of the place in the scene."""
        places = np.nan_to_num(self.scene_points(view))
        return np.asarray(127.5 + 120.0 * np.sin(places * np.array([90.0, 110.0, 130.0]))).astype(np.uint8)

    def is_seen(self, view: View, scene_points: Points, slack_m: float = 1e-6) -> NDArray[np.bool_]:
        """Tell for points (..., 3) of the scene whether nothing lies between them and the view's camera."""
        origin = -view.rotation.T @ view.translation_m
        towards = scene_points - origin
        length = np.linalg.norm(towards, axis=-1)
        hits = np.stack([surface.hit(origin, towards) for surface in self.surfaces])
        nearest = np.where(np.isnan(hits), np.inf, hits).min(axis=0)
        return np.asarray(nearest * length >= length - slack_m)

    def distance_m(self, scene_points: Points) -> Points:
        """Distance (...) of points of the scene from the nearest surface."""
        return np.asarray(np.min([surface.distance_m(scene_points) for surface in self.surfaces], axis=0))

    def _first(self, view: View, rays: Points) -> Points:
        hits = self._hits(view, rays)
        nearest = np.where(np.isnan(hits), np.inf, hits).min(axis=0)
        return np.where(np.isfinite(nearest), nearest, np.nan)

    def _hits(self, view: View, rays: Points) -> Points:
        origin, directions = -view.rotation.T @ view.translation_m, rays @ view.rotation
        return np.stack([surface.hit(origin, directions) for surface in self.surfaces])


def turn(x_deg: float = 0.0, y_deg: float = 0.0, z_deg: float = 0.0) -> Points:
    """A rotation about x, then y, then z."""
    a, b, c = np.deg2rad([x_deg, y_deg, z_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def tilted_plane() -> KnownScene:
    """A plane half a metre away, tilted by about 25° in x and 10° in y."""
    return KnownScene([Plane((0.45, 0.18, 1.0), 0.5)])


def cube_on_plane() -> KnownScene:
    """A cube of 60 mm, turned about z, on a plane half a metre away."""
    return KnownScene([Plane((0.0, 0.0, 1.0), 0.5), Cube((0.005, -0.004, 0.47), 0.06, turn(z_deg=20.0))])


DEPTH_VIEW = View()
"""The depth sensor, whose frame is that of the scene."""

PICTURE_VIEW = View(
    width_px=240,
    height_px=180,
    fx_px=270.0,
    fy_px=268.0,
    cx_px=121.0,
    cy_px=88.0,
    distortion=(-0.21, 0.06, 0.0011, -0.0007, 0.01),
    rotation=turn(2.0, -9.0, 1.5),
    translation_m=np.array([0.08, 0.004, 0.006]),
)
"""A 2D camera 80 mm beside it, turned towards the same place, with a lens that distorts."""
