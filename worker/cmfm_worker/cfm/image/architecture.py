"""timm's vision transformers as 2D extractors: built without numbers, cut, and a published file's keys made timm's."""

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
"""timm's modules whose models are offered."""

_OTHERWISE_RESAMPLED = ("flexi", "radio")
"""timm resamples the position embeddings of these families in ways of their own, which it does not hand out."""

_POINT_MAE_BLOCKS = 12

_PATCH_KEYS = ("patch_embed.proj.weight", "visual.conv1.weight")


def architecture(model: str, blocks: int | None = None) -> Any:
    """timm's model for pictures of 224×224 with shapes only, its first `blocks` blocks (None: all) and no head.

    SAM keeps the size it was published for, so that its file fits; `SamEncoder` resamples it. Nothing is
    downloaded. Raises ValueError for a model that is not offered and for a cut that it does not have.
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
    """How many blocks a model has. Raises ValueError for one that is not offered."""
    return len(architecture(model).blocks)


def paired_blocks(model: str, blocks: int) -> int:
    """Blocks of the picture's model beside `blocks` of Point-MAE's 12 (paper § 3.4).

    Both are cut after the same block, and 12 keeps all of both. Raises ValueError where `blocks` is a cut and the
    model does not have Point-MAE's depth: what the same block would be, the paper does not say.
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
    """Under which name timm keeps a model's weights on its hub, "" where it names no file of its own there.

    Raises ValueError as `depth` does.
    """
    cfg = _create(model).pretrained_cfg
    name: str = cfg.get("hf_hub_id") or ""
    return name if name.startswith("timm/") and not cfg.get("hf_hub_filename") else ""


def is_sam(vit: Any) -> bool:
    """Whether a model is built as SAM's: tokens on a grid, no prefix, a neck in the place of the final norm."""
    return type(vit).__module__.rpartition(".")[2] == _SAM


def to_timm_keys(path: Path, state: dict[str, Tensor], vit: Any) -> dict[str, Tensor]:
    """A published file's tensors under timm's keys, by timm's own `checkpoint_filter_fn`; `state` is used up.

    It also resamples the position embedding of a model that was published for another size. Raises `WeightsError`
    for other patches (timm would resample those too) and what it cannot read.
    """
    _require_patches(path, state, vit)
    try:
        found: dict[str, Tensor] = sys.modules[type(vit).__module__].checkpoint_filter_fn(state, vit)
    except Exception as error:  # another architecture makes it fail in any way there is
        raise WeightsError(
            f"{path}: not weights of {vit.pretrained_cfg['architecture']} ({error})"
        ) from error
    return found


def require_no_more(path: Path, state: dict[str, Tensor], vit: Any) -> None:
    """Raise `WeightsError` where the kept blocks have parts in the file that the model lacks."""
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
        raise ValueError(f"{model!r} is no image extractor: expected {offered}")
    if any(family in model for family in _OTHERWISE_RESAMPLED):
        raise ValueError(f"{model}: its position embedding needs a resampling of its own; expected {offered}")
    options = {} if is_model_in_modules(model, [_SAM]) else {"img_size": SIZE_PX, "weight_init": "skip"}
    try:
        with torch.device("meta"):
            vit = timm.create_model(model, pretrained=False, num_classes=0, **options)
    except RuntimeError as error:  # a tag that the architecture does not have
        raise ValueError(f"{model}: {error}") from error
    if type(vit).__module__.rpartition(".")[2] not in (_VIT, _SAM):  # timm can be told to build another class
        raise ValueError(f"{model}: timm built a {type(vit).__name__}; expected {offered}")
    return vit


def _require_ordinary_blocks(model: str, vit: Any) -> None:
    """Blocks of other classes read the weights of their layers, which `FrozenLinear` keeps to itself."""
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
