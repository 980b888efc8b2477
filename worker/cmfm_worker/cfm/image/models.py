"""The names of 2D extractors: timm's, and short ones for the four of the paper's Table 10. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping

DINO = "vit_base_patch8_224.dino"
"""The paper's own choice (§ 4) and the default."""

SHORT_NAMES: Mapping[str, str] = {
    "dino": DINO,
    "dinov2": "vit_base_patch14_dinov2.lvd142m",
    "sam": "samvit_base_patch16.sa1b",
    "clip": "vit_base_patch16_clip_quickgelu_224.openai",
}

NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,128}$"
"""The name is also a file's name in the weights folder, so it must not be a path or an address."""


def timm_name(name: str) -> str:
    """Return timm's name for a short name; any other name is returned unchanged.

    Raises ValueError for a name that timm cannot have. `architecture.py` checks that timm has the model.
    """
    if re.fullmatch(NAME_PATTERN, name) is None:
        shown = ", ".join(SHORT_NAMES)
        raise ValueError(f"{name!r} is not an image extractor: expected {shown} or timm's name of a ViT")
    return SHORT_NAMES.get(name, name)


def short_name(name: str) -> str:
    """Return the short name of a model, or timm's if it has none. Raises ValueError as `timm_name` does."""
    model = timm_name(name)
    return next((short for short, long in SHORT_NAMES.items() if long == model), model)
