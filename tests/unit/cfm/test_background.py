"""The support plane on scenes where a fit to the border, or to all points, finds a wrong plane."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm.background import common_plane, find_support_planes, signed_height

SIZE_PX = 224
FIELD = 0.72  # width of the view over its distance
DISTANCE_M = 0.5  # sensor to tray along the optical axis
REMOVAL_M = 0.005


@dataclass(frozen=True)
class Scene:
    """A ray-cast tray with boxes on it, seen from the origin along +z."""

    boxes: tuple[
        tuple[float, float, float, float, float], ...
    ] = ()  # x0, x1, y0, y1, height, on the tray, metres
    tilt: float = 0.0  # slope of the tray along y
    tray_until_m: float = 9.0  # where the tray ends along x
    floor_m: float | None = None  # what lies behind its end: the floor, so far down, or nothing
    noise_m: float = 0.0003
    stray: float = 0.0  # share of points that were measured anywhere within 10 cm
    seed: int = 0

    def plane(self) -> Tensor:
        """The true plane (4,)."""
        normal = torch.tensor([0.0, self.tilt, -1.0])
        normal = normal / normal.norm()
        return torch.cat([normal, -normal[2:] * DISTANCE_M])

    def points(self) -> Tensor:
        """(3, 224, 224) metres."""
        noise = torch.Generator().manual_seed(self.seed)
        steps = ((torch.arange(SIZE_PX) + 0.5) / SIZE_PX - 0.5) * FIELD
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        rays = torch.stack([x, y, torch.ones_like(x)])
        depth = self._level(rays, 0.0)
        outside = rays[0] * depth > self.tray_until_m
        depth[outside] = 0.0 if self.floor_m is None else self._level(rays, -self.floor_m)[outside]
        for x0, x1, y0, y1, height in self.boxes:
            top = self._level(rays, height)
            at = rays * top
            depth = torch.where((at[0] > x0) & (at[0] < x1) & (at[1] > y0) & (at[1] < y1), top, depth)
        shape = depth.shape
        stray = torch.rand(shape, generator=noise) < self.stray
        moved = depth + torch.randn(shape, generator=noise) * self.noise_m
        moved = torch.where(stray, moved + torch.rand(shape, generator=noise) * 0.2 - 0.1, moved)
        return rays * torch.where(depth > 0, moved, 0.0)

    def _level(self, rays: Tensor, height: float) -> Tensor:
        """Depth of the plane `height` above the tray, where n·ray·depth + d = height."""
        plane = self.plane()
        return (height - plane[3]) / torch.einsum("i,ihw->hw", plane[:3], rays)


def box(share: float, height_m: float) -> tuple[tuple[float, float, float, float, float], ...]:
    """A centred box whose top fills `share` of the picture."""
    half = share**0.5 * FIELD * (DISTANCE_M - height_m) / 2
    return ((-half, half, -half, half, height_m),)


def planes_of(*scenes: Scene) -> Tensor:
    """Found planes (B, 4)."""
    points = torch.stack([scene.points() for scene in scenes])
    at = torch.arange(SIZE_PX)
    edge = torch.minimum(at, SIZE_PX - 1 - at)
    return find_support_planes(points, (points != 0).any(1), torch.minimum(edge[:, None], edge), REMOVAL_M)


def error_m(found: Tensor, scene: Scene) -> float:
    """The largest distance of the found plane to the true tray over the whole picture."""
    tray = Scene(tilt=scene.tilt, noise_m=0.0).points()
    return float(signed_height(tray[None], found[None]).abs().max())


SCENES = {
    "empty belt": Scene(),
    "small part": Scene(box(0.1, 0.03), tilt=0.1),
    "steep view": Scene(box(0.1, 0.1), tilt=1.0),
    "slab over 70 % of the picture": Scene(box(0.7, 0.008), tilt=0.1),
    "tilted slab over 80 %": Scene(box(0.8, 0.012), tilt=0.3),
    "high part over 70 %": Scene(box(0.7, 0.12)),
    "slab that touches three sides": Scene(((-9, 0.04, -9, 9, 0.02),)),
    "two tops of one height": Scene(((-0.15, -0.01, -0.15, 0.15, 0.02), (0.01, 0.15, -0.15, 0.15, 0.02))),
    "slab hardly thicker than the removal distance": Scene(box(0.45, 0.006), noise_m=0.0001),
    "stack": Scene((*box(0.7, 0.02), *box(0.5, 0.04))),
    "tray on three sides of the picture only": Scene(box(0.2, 0.03), tray_until_m=0.1),
    "floor far below beside the belt": Scene(((-0.1, 0, -0.05, 0.05, 0.03),), tray_until_m=0.04, floor_m=0.4),
    "stray points": Scene(box(0.5, 0.03), stray=0.1),
    "coarse sensor": Scene(box(0.3, 0.03), noise_m=0.001),
}


@pytest.mark.parametrize("name", SCENES)
def test_plane_is_the_tray(name: str) -> None:
    """The plane is within 0.7 mm of the tray everywhere, and its normal points to the sensor."""
    scene = SCENES[name]
    found = planes_of(scene)[0]
    assert error_m(found, scene) < 7e-4
    assert float(found[:3].norm()) == pytest.approx(1.0, abs=1e-6)
    assert found[3] > 0  # the height of the sensor


def test_a_frame_has_the_same_plane_in_every_batch() -> None:
    """A frame's plane is bit for bit the same in any batch and at any position in it."""
    scenes = list(SCENES.values())[:6]
    together = planes_of(*scenes)
    assert torch.equal(together, torch.cat([planes_of(scene) for scene in scenes]))
    assert torch.equal(together, planes_of(*reversed(scenes)).flip(0))


def test_no_points_have_no_plane() -> None:
    """A frame without points has a NaN plane and does not change its neighbour's."""
    blind = Scene(tray_until_m=-9.0)
    planes = planes_of(blind, SCENES["small part"])
    assert planes[0].isnan().all()
    assert torch.equal(planes[1:], planes_of(SCENES["small part"]))


def test_a_cloud_without_a_support_has_no_plane() -> None:
    """Points scattered over half a metre of depth have no support plane."""
    cloud = Scene(noise_m=0.2)
    assert planes_of(cloud).isnan().all()


def test_height_is_positive_towards_the_sensor() -> None:
    """A point 1 cm nearer to the sensor than the tray has a height of 1 cm."""
    plane = torch.tensor([[0.0, 0.0, -1.0, 0.5]])
    points = torch.tensor([[[0.1, 0.1], [0.2, 0.2], [0.49, 0.52]]])
    assert signed_height(points, plane)[0].tolist() == pytest.approx([0.01, -0.02], abs=1e-6)


def test_common_plane_is_that_of_most_frames() -> None:
    """Of nine noisy planes of one tray and one of a tray 8 mm nearer, the common plane is the nine frames'."""
    generator = torch.Generator().manual_seed(3)
    true = Scene(tilt=0.2).plane()
    found = true + torch.randn(10, 4, generator=generator) * torch.tensor([1e-4, 1e-4, 1e-4, 1e-4])
    found /= found[:, :3].norm(dim=1, keepdim=True)
    found[7, 3] -= 0.008
    points = Scene(tilt=0.2).points().flatten(1).T[::97]
    plane, apart_m = common_plane(found, points)
    assert signed_height(points.T[None], plane[None]).abs().amax() < 0.0015, "noise of 0.3 mm a point"
    assert plane[:3].norm() == pytest.approx(1, abs=1e-6)
    assert apart_m[7] == pytest.approx(0.008, abs=5e-4)
    assert apart_m[[i for i in range(10) if i != 7]].amax() < 5e-4
