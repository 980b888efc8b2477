"""A miniature of Eyecandies in its exact layout: domes of candy on a tilted conveyor, rendered by ray and sphere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

CATEGORY = "GummyBear"
FOCAL_PX = 711.11
SIDE_PX = 512
CONVEYOR = np.array([0.05, -0.03, -1.0]) / np.linalg.norm(
    [0.05, -0.03, -1.0]
)  # its normal, towards the camera
CONVEYOR_M = 0.5  # of the camera above it
LIGHTS = [(0, 0, -1), (0, 0.8, -0.6), (0.8, 0, -0.6), (0, -0.8, -0.6), (-0.8, 0, -0.6), None]
KINDS = ("bumps", "dents", "colors", "normals")


@dataclass(frozen=True)
class Ball:
    """A sphere of which the conveyor hides the lower half."""

    centre_m: NDArray[np.float64]
    radius_m: float


@dataclass(frozen=True)
class Scene:
    """Depth (512, 512) metres along z, colour (512, 512, 3), and where each kind of defect is."""

    depth_m: NDArray[np.float64]
    colour: NDArray[np.float64]
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def rays() -> NDArray[np.float64]:
    """Direction of every pixel's ray (512, 512, 3), of length 1 along z."""
    at = (np.arange(SIDE_PX) - SIDE_PX / 2) / FOCAL_PX
    x, y = np.meshgrid(at, at)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def on_conveyor(x_m: float, y_m: float) -> NDArray[np.float64]:
    """The point of the conveyor at a place of the camera's x and y."""
    z = (-CONVEYOR_M - CONVEYOR[0] * x_m - CONVEYOR[1] * y_m) / CONVEYOR[2]
    return np.array([x_m, y_m, z])


def conveyor_depth() -> NDArray[np.float64]:
    """Depth of the empty conveyor."""
    depth: NDArray[np.float64] = -CONVEYOR_M / (rays() @ CONVEYOR)
    return depth


def ball_depth(ball: Ball) -> NDArray[np.float64]:
    """Depth of a sphere, infinite beside it."""
    d = rays()
    a, b = (d * d).sum(-1), d @ ball.centre_m
    under = b * b - a * (ball.centre_m @ ball.centre_m - ball.radius_m**2)
    return np.where(under > 0, (b - np.sqrt(np.maximum(under, 0))) / a, np.inf)


def candy(seed: int, kinds: Sequence[str] = ()) -> Scene:
    """A dome of 6 to 7 cm whose colour follows its height; with its defects, if any."""
    rng = np.random.default_rng(seed)
    place = on_conveyor(*rng.uniform(-0.02, 0.02, 2))
    ball = Ball(place, rng.uniform(0.065, 0.07))
    depth, masks = np.minimum(conveyor_depth(), ball_depth(ball)), dict[str, NDArray[np.bool_]]()
    height = (rays() * depth[..., None]) @ CONVEYOR + CONVEYOR_M
    grey, warm = np.full(3, 110.0), np.array([1500.0, 900.0, 0.0])
    colour = np.where(height[..., None] > 1e-6, np.array([120, 60, 60]) + warm * height[..., None], grey)
    if "bumps" in kinds:
        bump = ball_depth(Ball(place + np.array([0.02, 0.02, -0.055]), 0.015))
        masks["bumps"] = bump < depth
        depth = np.minimum(depth, bump)
    if "dents" in kinds:
        inside = ball_depth(Ball(place + np.array([-0.025, -0.01, -0.06]), 0.012)) < depth
        masks["dents"] = inside
        depth = depth + 0.008 * inside
    if "colors" in kinds:
        masks["colors"] = ball_depth(Ball(place + np.array([-0.01, 0.025, -0.06]), 0.012)) < depth
        colour[masks["colors"]] = (30, 40, 200)
    return Scene(depth, colour + rng.normal(0, 2, colour.shape), masks)


def write_part(
    data: Path, number: str, scene: Scene, *, metadata: bool = False, kind_masks: bool = False
) -> None:
    """All files of a part; `metadata` and the masks of single kinds as the public test split has them."""
    data.mkdir(parents=True, exist_ok=True)
    normal = normals(scene.depth_m)
    for light, towards in enumerate(LIGHTS):
        shade = 1.0 if towards is None else 0.6 + 0.4 * np.clip(normal @ np.array(towards), 0, 1)[..., None]
        _save(data / f"{number}_image_{light}.png", (scene.colour * shade).clip(0, 255).astype(np.uint8))
    write_depth(data, number, scene.depth_m)
    _save(data / f"{number}_normals.png", (normal * 127.5 + 127.5).round().astype(np.uint8))
    np.savetxt(data / f"{number}_pose.txt", np.eye(4))
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    for there in scene.masks.values():
        mask |= there
    _save(data / f"{number}_mask.png", mask.astype(np.uint8) * 255)
    if kind_masks:
        for kind in KINDS:
            there = scene.masks.get(kind, np.zeros_like(mask))
            _save(data / f"{number}_{kind}_mask.png", there.astype(np.uint8) * 255)
    if metadata:
        said = {"anomalous": int(mask.any())} | {kind: int(kind in scene.masks) for kind in KINDS}
        (data / f"{number}_metadata.yaml").write_text(yaml.safe_dump(said))


def write_depth(data: Path, number: str, depth_m: NDArray[np.float64]) -> float:
    """The depth picture and its unit; how many metres one step of it is."""
    least, most = float(depth_m.min()), float(depth_m.max())
    step_m = (most - least) / 65535
    levels = np.round((depth_m - least) / step_m) if step_m else np.zeros_like(depth_m)
    _save(data / f"{number}_depth.png", levels.astype(np.uint16))
    info = {"normalization": {"min": least, "max": most}}
    (data / f"{number}_info_depth.yaml").write_text(yaml.safe_dump(info))
    return step_m


def normals(depth_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit normals (512, 512, 3) towards the camera."""
    points = rays() * depth_m[..., None]
    down, right = np.gradient(points, axis=(0, 1))
    normal = np.cross(down, right)
    unit: NDArray[np.float64] = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return unit


def write_category(root: Path, category: str = CATEGORY) -> Path:
    """4 parts to teach from, 5 to validate on, 7 to test; returns the root.

    Test parts 02 to 05 have a bump, a wrong colour, both a bump and a dent, and a dent; 05 has neither metadata nor
    the masks of single kinds, 04 the masks alone.
    """
    seed = 0
    for split, count in (("train", 4), ("val", 5)):
        for i in range(count):
            write_part(root / category / split / "data", f"{i:02d}", candy(seed := seed + 1))
    test = root / category / "test_public" / "data"
    for i, kinds in enumerate([(), (), ("bumps",), ("colors",), ("bumps", "dents"), ("dents",), ()]):
        scene = candy(seed := seed + 1, kinds)
        write_part(test, f"{i:02d}", scene, metadata=i not in (4, 5), kind_masks=i != 5)
    return root


def _save(path: Path, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    Image.fromarray(picture).save(path, compress_level=1)
