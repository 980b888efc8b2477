"""Prepared frames of simple parts, whose features can be computed by hand."""

import torch

from cmfm_worker.cfm.prepare import PreparedFrames


def plates(count: int, side: int = 120) -> PreparedFrames:
    """Square plates 10 mm thick on a level tray 0.5 m from the sensor, 0.5 mm a pixel, evenly grey."""
    step = torch.arange(224, dtype=torch.float32) * 0.0005
    y, x = torch.meshgrid(step, step, indexing="ij")
    part = torch.zeros(224, 224, dtype=torch.bool)
    part[50 : 50 + side, 50 : 50 + side] = True
    xyz = torch.stack([x, y, torch.full_like(x, 0.49)]) * part
    return PreparedFrames(
        rgb=torch.full((count, 3, 224, 224), 0.5),
        xyz=xyz.expand(count, 3, 224, 224).clone(),
        foreground=part.expand(count, 224, 224).clone(),
        valid=torch.ones(count, 224, 224, dtype=torch.bool),
        plane=torch.tensor([0.0, 0.0, -1.0, 0.5]).expand(count, 4).clone(),
        surroundings=torch.tensor([50, 50, 1, 0], dtype=torch.int32).expand(count, 4).clone(),
        picture=torch.full((count, 224, 224, 3), 128, dtype=torch.uint8),
    )
