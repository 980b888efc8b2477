"""Let `import timm` work beside a CPU-only torch, where torchvision's compiled half does not load.

timm imports torchvision, whose registrations need two operator names to exist (docs/method.md, weights). Nothing here
calls the operators: the method uses none of torchvision.
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
    """Import torchvision, where that fails with its operator names defined first; call before `import timm`.

    Returns what holds the names (the cache keeps it alive with the process), None where torchvision loads by
    itself. Raises `RuntimeError` where torchvision fails for another reason.
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
