"""timm's vision transformers with seeded random weights, and the same weights under published names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

DINOV2 = "vit_base_patch14_dinov2.lvd142m"
SAM = "samvit_base_patch16.sa1b"
CLIP = "vit_base_patch16_clip_quickgelu_224.openai"
REGISTERS = "vit_small_patch14_reg4_dinov2.lvd142m"
SMALL = "vit_small_patch16_224.dino"
TINY = "vit_tiny_patch16_224.augreg_in21k"


def timms(model: str, depth: int, **options: Any) -> Any:
    """timm's model with random weights, in which every layer has an effect."""
    from cmfm_worker.cfm.image.torchvision_stub import make_torchvision_importable

    make_torchvision_importable()
    import timm

    vit = timm.create_model(model, pretrained=False, num_classes=0, depth=depth, **options).eval()
    generator = torch.Generator().manual_seed(depth)
    for key, value in vit.state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        if value.ndim == 1:
            value.copy_(1 + 0.1 * drawn if key.endswith("weight") else 0.3 * drawn)
        else:
            value.copy_(drawn * (0.3 if "pos" in key else 1.2 / value[0].numel() ** 0.5))
    return vit.requires_grad_(False)


def as_dinov2(state: State) -> State:
    """`dinov2_vitb14_pretrain.pth`: timm's keys and a mask token."""
    return state | {"mask_token": torch.zeros(1, state["cls_token"].shape[-1])}


def as_sam(state: State) -> State:
    """`sam_vit_b_01ec64.pth`: the image encoder beside the prompt encoder and the decoder."""
    found = {f"image_encoder.{key.replace('mlp.fc', 'mlp.lin')}": value for key, value in state.items()}
    return found | {
        "mask_decoder.iou_token.weight": torch.ones(1, 256),
        "prompt_encoder.x.weight": torch.ones(3),
    }


_CLIP_KEYS = (
    ("patch_embed.proj.", "conv1."),
    ("norm_pre.", "ln_pre."),
    ("blocks.", "transformer.resblocks."),
    ("norm1.", "ln_1."),
    ("norm2.", "ln_2."),
    ("attn.qkv.", "attn.in_proj_"),
    ("attn.proj.", "attn.out_proj."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
)


def as_clip(state: State) -> State:
    """OpenAI's names for the image tower, beside the text tower, in half precision."""
    found = {"logit_scale": torch.tensor(4.6), "transformer.resblocks.0.ln_1.weight": torch.ones(512)}
    found["visual.proj"] = torch.ones(768, 512)
    found["visual.class_embedding"] = state["cls_token"][0, 0]
    found["visual.positional_embedding"] = state["pos_embed"][0]
    for key, value in state.items():
        if key.startswith("norm."):
            found[f"visual.ln_post.{key.removeprefix('norm.')}"] = value
        elif key not in ("cls_token", "pos_embed"):
            name = key
            for ours, theirs in _CLIP_KEYS:
                name = name.replace(ours, theirs)
            found[f"visual.{name}"] = value
    return {key: value.half() for key, value in found.items()}
