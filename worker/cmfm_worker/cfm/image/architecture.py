"""timm's vision transformers as 2D extractors: building and cutting them, and timm's keys for published files."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmfm_worker.cfm.image.models import SHORT_NAMES
from cmfm_worker.cfm.image.torchvision_stub import make_torchvision_importable
from cmfm_worker.cfm.prepare import SIZE_PX
from cmfm_worker.cfm.weights import WeightsError

_VIT, _SAM = "vision_transformer", "vision_transformer_sam"
"""The modules of timm whose models are offered."""

_OTHERWISE_RESAMPLED = ("flexi", "radio")
"""Families whose position embeddings timm resamples in private ways, which cannot be called from here."""

_POINT_MAE_BLOCKS = 12

_PATCH_KEYS = ("patch_embed.proj.weight", "visual.conv1.weight")


def architecture(model: str, blocks: int | None = None) -> Any:
    """Build timm's model for 224×224 pictures on the meta device, with its first `blocks` blocks (None: all) and no
    head.

    SAM keeps its published size, so that its file fits; `SamEncoder` resamples it. Nothing is downloaded. Raises
    ValueError for a model that is not offered and for a cut that it does not have.
    """
    vit = _create(model)
    _require_ordinary_blocks(model, vit)
    depth = len(vit.blocks)
    if blocks is not None and not 1 <= blocks <= depth:
        raise ValueError(f"{model} has {depth} blocks, it cannot be cut after block {blocks}")
    vit.blocks = vit.blocks[:blocks]
    vit.head = nn.Identity()
    if not is_sam(vit):
        vit.fc_norm, vit.attn_pool = nn.Identity(), None
    patch_px = tuple(vit.patch_embed.patch_size)
    if patch_px[0] != patch_px[1] or SIZE_PX % patch_px[0]:
        raise ValueError(f"{model}: patches of {patch_px} pixels do not tile {SIZE_PX}×{SIZE_PX}")
    return vit


@cache
def depth(model: str) -> int:
    """Return the number of blocks of a model. Raises ValueError for a model that is not offered."""
    return len(architecture(model).blocks)


def paired_blocks(model: str, blocks: int) -> int:
    """Return the number of blocks that the 2D model keeps beside `blocks` of Point-MAE's 12 (paper § 3.4).

    Both are cut after the same block, and 12 keeps all of both. Raises ValueError if a model of another depth than
    Point-MAE's is to be cut: the paper does not say which block is the same then.
    """
    own = depth(model)
    if blocks == _POINT_MAE_BLOCKS:
        return own
    if own == _POINT_MAE_BLOCKS:
        return blocks
    raise ValueError(
        f"{model} has {own} blocks and Point-MAE {_POINT_MAE_BLOCKS}: cut after block {blocks} they do not "
        f"match; keep all of both with {_POINT_MAE_BLOCKS}, or take a model of {_POINT_MAE_BLOCKS} blocks"
    )


def hub_id(model: str) -> str:
    """Return the name of a model's weights on timm's hub, or "" if timm has no file of its own there.

    Raises ValueError as `depth` does.
    """
    cfg = _create(model).pretrained_cfg
    name: str = cfg.get("hf_hub_id") or ""
    return name if name.startswith("timm/") and not cfg.get("hf_hub_filename") else ""


def is_sam(vit: Any) -> bool:
    """Return True for SAM's architecture: tokens on a grid, no prefix, a neck in place of the final norm."""
    return type(vit).__module__.rpartition(".")[2] == _SAM


def to_timm_keys(path: Path, state: dict[str, Tensor], vit: Any) -> dict[str, Tensor]:
    """Rename a published file's tensors to timm's keys, by timm's `checkpoint_filter_fn`. It consumes `state`.

    It also resamples the position embedding of a model that was published for another size. Raises `WeightsError` for
    other patches (timm would resample those too) and for files of another architecture.
    """
    _require_patches(path, state, vit)
    try:
        found: dict[str, Tensor] = sys.modules[type(vit).__module__].checkpoint_filter_fn(state, vit)
    except Exception as error:  # with another architecture it can raise anything
        raise WeightsError(
            f"{path}: not weights of {vit.pretrained_cfg['architecture']} ({error})"
        ) from error
    return found


def require_no_more(path: Path, state: dict[str, Tensor], vit: Any) -> None:
    """Raise `WeightsError` if the file has tensors of the kept blocks that the model lacks."""
    own = vit.state_dict()
    for key in state:
        of_blocks = key.startswith("blocks.") and key.split(".")[1] in vit.blocks._modules
        if of_blocks and key not in own:
            raise WeightsError(f"{path}: '{key}' has no place in {vit.pretrained_cfg['architecture']}")


def _create(model: str) -> Any:
    make_torchvision_importable()
    import timm
    from timm.models import is_model_in_modules

    offered = f"{', '.join(SHORT_NAMES)} or timm's name of a VisionTransformer or VisionTransformerSAM"
    if not is_model_in_modules(model, [_VIT, _SAM]):
        raise ValueError(f"{model!r} is not an image extractor: expected {offered}")
    if any(family in model for family in _OTHERWISE_RESAMPLED):
        raise ValueError(f"{model}: its position embedding cannot be resampled here; expected {offered}")
    options = {} if is_model_in_modules(model, [_SAM]) else {"img_size": SIZE_PX, "weight_init": "skip"}
    try:
        with torch.device("meta"):
            vit = timm.create_model(model, pretrained=False, num_classes=0, **options)
    except RuntimeError as error:  # the architecture does not have this tag
        raise ValueError(f"{model}: {error}") from error
    if type(vit).__module__.rpartition(".")[2] not in (_VIT, _SAM):  # timm can be told to build another class
        raise ValueError(f"{model}: timm built a {type(vit).__name__}; expected {offered}")
    return vit


def _require_ordinary_blocks(model: str, vit: Any) -> None:
    """Raise ValueError for other blocks: they read their layers' weights, which `FrozenLinear` does not expose."""
    from timm.models.vision_transformer import Attention, Block

    for block in () if is_sam(vit) else vit.blocks:
        if type(block) is not Block or type(block.attn) is not Attention:
            found = f"{type(block).__name__} with {type(getattr(block, 'attn', None)).__name__}"
            raise ValueError(f"{model}: its blocks are not offered ({found}), only timm's ordinary ones")


def _require_patches(path: Path, state: dict[str, Tensor], vit: Any) -> None:
    expected = tuple(vit.patch_embed.patch_size)
    for key, value in state.items():
        if key.endswith(_PATCH_KEYS) and value.ndim == 4 and tuple(value.shape[2:]) != expected:
            wanted = (*vit.patch_embed.proj.weight.shape[:2], *expected)
            raise WeightsError(f"{path}: '{key}' must have shape {wanted}, found {tuple(value.shape)}")
