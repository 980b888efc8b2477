"""Makes `import timm` work beside a CPU-only torch, where the compiled half of torchvision does not load.

timm imports torchvision, whose registrations need two operator names to exist (docs/method.md, weights). The operators
are never called: the method uses nothing of torchvision.
"""

from __future__ import annotations

import importlib
from functools import cache

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def make_torchvision_importable() -> torch.library.Library | None:
    """Import torchvision. If that fails, define its operator names and import it again. Call before `import timm`.

    Returns the library that holds the names, which the cache keeps alive, or None if torchvision loads by itself.
    Raises `RuntimeError` if torchvision fails for another reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    names = torch.library.Library("torchvision", "FRAGMENT")  # untyped in torch
    for schema in _SCHEMAS:
        names.define(schema)  # the same
    importlib.import_module("torchvision")
    return names
