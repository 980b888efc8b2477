"""Random weights in the format of the published files, for the same work on machines without the real ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.residual_metric import ResidualMetric
from cmfm_worker.cfm.image.architecture import paired_blocks
from cmfm_worker.cfm.image.features import published_shapes as image_shapes
from cmfm_worker.cfm.image.models import DINO
from cmfm_worker.cfm.mapping.pair import MappingPair, new_pair
from cmfm_worker.cfm.points.features import published_shapes as point_mae_shapes
from cmfm_worker.cfm.variants import Architecture, Modality

_SEED = 20
_FAN_IN_SCALE = 1.6


def write_seeded_weights(folder: Path, blocks: int, images: Iterable[str] = (DINO,)) -> None:
    """Write files of Point-MAE and of the 2D extractors `images` (timm's names) with `blocks` blocks, about 40 MB a
    block.

    The same arguments give the same files. Raises ValueError for a 2D extractor that is not offered.
    """
    generator = torch.Generator().manual_seed(_SEED)
    for image in images:
        shapes = image_shapes(paired_blocks(image, blocks), image)
        torch.save(
            {key: _draw(key, shape, generator) for key, shape in shapes.items()}, folder / _file_name(image)
        )
    points = {key: _draw(key, shape, generator) for key, shape in point_mae_shapes(blocks).items()}
    torch.save({"base_model": points}, folder / "pointmae_pretrain.pth")


def _file_name(image: str) -> str:
    return "dino_vitbase8_pretrain.pth" if image == DINO else f"{image}.pth"


def seeded_mapping(
    d2: int,
    d3: int,
    architecture: Architecture = "mlp",
    modality: Modality = "cross",
    *,
    hidden: int | None = None,
    spread: bool = False,
    context: tuple[int, int] = (0, 0),
) -> MappingPair:
    """Make two untrained networks, always the same. `spread` adds a metric, too, as `classic` has it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        pair = new_pair(d2, d3, architecture, modality, hidden, spread=spread, context=context)
    for network in (pair.to_3d, pair.to_2d):
        network.eval().requires_grad_(False)
    if spread and not pair.whole_maps:
        pair = replace(pair, metric=ResidualMetric.unlearned(pair.to_2d.d_out, pair.to_3d.d_out))
    return pair


def _draw(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw scales of norms near 1, small biases, and matrices at 1/√fan-in, so that activations stay near 1."""
    x = torch.randn(shape, generator=generator)
    if key.endswith("running_var"):
        return 0.5 + 0.1 * x.abs()
    if key.endswith(("cls_token", "pos_embed")):
        return 0.5 * x
    if len(shape) == 1:
        return 1 + 0.1 * x if key.endswith("weight") else 0.05 * x
    scale: float = _FAN_IN_SCALE / x[0].numel() ** 0.5
    return x * scale
