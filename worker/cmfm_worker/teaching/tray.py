"""Finds the tray plane that all nominal parts share, so that the line need not fit a plane to every frame.

It saves the line the plane fit, and works for parts that hide their tray. It is wrong if sensor or tray move, even
by a few millimetres: then the parts' planes disagree and teaching is refused.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.background import common_plane, signed_height
from cmfm_worker.cfm.prepare import resize, support_planes
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.batches import read_batches
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.sections import BackgroundSection

AGREEMENT: Final = 0.4
"""Largest distance of a part's own tray from the common one, as a share of the removal distance. Within it no tray
point is taken for the part, and a part loses no more points than by the uncertainty of its own plane."""

_POINT_STEP = 29
"""Step between the tray points that are compared. It does not divide the 224 pixels of a row, so that the points
spread over the whole tray."""

_LEAST_POINTS = 30


@torch.no_grad()
def fixed_background(
    parts: Sequence[PartFiles],
    background: BackgroundSection,
    batch: int,
    device: torch.device,
    progress: ReportProgress,
) -> BackgroundSection:
    """Return `background` with the common plane of all parts.

    Reports the stage "tray". Raises InputError naming parts with another plane or without one.
    """
    options = background.options()
    progress("tray", 0, len(parts))
    planes, names, tray_points = list[Tensor](), list[str](), None
    for frames in read_batches(parts, batch, device):
        _, xyz, valid = resize(frames.rgb, frames.xyz)
        found = support_planes(xyz, valid, frames.size_px, options)
        if tray_points is None:
            tray_points = _tray_points(xyz[0], valid[0], found[0], AGREEMENT * options.plane_distance_m)
        planes += found.cpu()
        names += [part.id for part in frames.files]
        progress("tray", len(names), len(parts))
    _refuse(
        [name for name, plane in zip(names, planes, strict=True) if plane.isnan().any()],
        "no tray plane found in",
    )
    if tray_points is None or len(tray_points) < _LEAST_POINTS:
        raise InputError(
            f"{names[0] if names else 'no part'}: too little of the tray is visible to teach its plane"
        )
    plane, distance_m = common_plane(torch.stack(planes), tray_points)
    limit_m = AGREEMENT * options.plane_distance_m
    apart = [
        f"{name} ({distance * 1e3:.1f} mm)"
        for name, distance in zip(names, distance_m.tolist(), strict=True)
        if distance > limit_m
    ]
    _refuse(apart, f"the tray is not where it is in most parts (more than {limit_m * 1e3:.1f} mm away) in")
    a, b, c, d = plane.tolist()
    return background.model_copy(update={"method": "fixed", "plane": (a, b, c, d)})


def _tray_points(xyz: Tensor, valid: Tensor, plane: Tensor, distance_m: float) -> Tensor:
    """Return some of the points (R, 3) of one frame that lie on its own plane; empty if it has no plane."""
    on_tray = valid & (signed_height(xyz[None], plane[None])[0].abs() < distance_m)
    return xyz[:, on_tray].T[::_POINT_STEP].cpu()


def _refuse(parts: Sequence[str], what: str) -> None:
    if parts:
        raise InputError(
            f"{what}: {', '.join(parts)}; record these parts again, or let the tray be found in every frame "
            "(--background ransac)"
        )
