"""The scene of a fake camera: a cube on a plane, in millimetres, and its calls."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tests.unit.made.known_scene import View, cube_on_plane

VIEW = View()
SCENE = cube_on_plane()


@dataclass
class Shown:
    """The pictures that the fake shows, and its calls. `fails` is raised by the next capture."""

    xyz_mm: NDArray[np.float32] = field(
        default_factory=lambda: (SCENE.points(VIEW) * 1000).astype(np.float32)
    )
    rgb: NDArray[np.uint8] = field(default_factory=lambda: SCENE.picture(VIEW))
    serials: tuple[str, ...] = ("0815",)
    fails: Exception | None = None
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.xyz_mm[:5] = np.nan  # a region that nobody asked for

    def called(self, name: str) -> None:
        """Record a call; raise what the camera is told to fail with."""
        self.calls.append(name)
        if self.fails is not None and name.startswith("capture"):
            error, self.fails = self.fails, None
            raise error

    @property
    def rgba(self) -> NDArray[np.uint8]:
        """The picture with an alpha channel."""
        return np.concatenate([self.rgb, np.full_like(self.rgb[..., :1], 255)], axis=-1)
