"""F_2D from a file: a vision transformer cut after a chosen block, by default DINO ViT-B/8 (paper § 3.1, § 3.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cmfm_worker.cfm.fast.frozen_linear import freeze
from cmfm_worker.cfm.image.architecture import architecture, is_sam, require_no_more, to_timm_keys
from cmfm_worker.cfm.image.encoder import ImageEncoder
from cmfm_worker.cfm.image.models import DINO, timm_name
from cmfm_worker.cfm.image.sam_encoder import SamEncoder
from cmfm_worker.cfm.image.vit_encoder import VitEncoder, is_plain
from cmfm_worker.cfm.weights import read_state_dict, require_shapes

GRID = 28
"""DINO's tokens along one side of the 224-pixel picture: patches of 8 pixels."""

WIDTH = 768
"""DINO's D_2D."""


def load_image_encoder(
    path: Path,
    blocks: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    model: str = DINO,
) -> ImageEncoder:
    """Build a 2D extractor with its first `blocks` blocks, from its published file or the safetensors twin.

    `model` is timm's name or a short one (`models.py`). Blocks after the last kept one are not read. Nothing is
    downloaded. The blocks' products are computed in `dtype`. Raises `WeightsError` for the file, and ValueError for a
    model, a cut or a `dtype` that is not offered.
    """
    vit = architecture(timm_name(model), blocks)
    _require_float32(vit, dtype)
    state = to_timm_keys(path, read_state_dict(path), vit)
    own = vit.state_dict()
    require_shapes(path, state, {key: tuple(value.shape) for key, value in own.items()})
    require_no_more(path, state, vit)
    vit.load_state_dict({key: state[key].to(device, torch.float32) for key in own}, assign=True)
    state.clear()  # the file's memory is freed layer by layer
    encoder = SamEncoder(vit) if is_sam(vit) else VitEncoder(vit)
    return freeze(encoder.to(device), dtype)


def published_shapes(blocks: int, model: str = DINO) -> dict[str, tuple[int, ...]]:
    """Return timm's keys and shapes that `blocks` blocks of a model need. Raises ValueError for an unknown model."""
    state = architecture(timm_name(model), blocks).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def _require_float32(vit: Any, dtype: torch.dtype) -> None:
    """Raise ValueError for another `dtype` than float32 if the attention has norms, which need float32."""
    if dtype != torch.float32 and not is_sam(vit) and not all(map(is_plain, vit.blocks)):
        name = vit.pretrained_cfg["architecture"]
        raise ValueError(
            f"{name}: it has norms inside its attention and is offered in fp32 only, not in {dtype}"
        )
