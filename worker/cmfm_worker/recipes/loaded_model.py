"""A recipe whose networks are on a device, ready for inspection."""

from dataclasses import dataclass, replace
from typing import Self

import torch

from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.recipes.recipe import LoadedRecipe, Recipe


@dataclass(frozen=True, eq=False, slots=True)
class LoadedModel:
    """A recipe with its networks on the device of its extractor; `sha` is the `model_sha`."""

    recipe: Recipe
    mapping: MappingPair
    sha: str

    @classmethod
    def of(cls, loaded: LoadedRecipe, device: torch.device, precision: Precision = "fp32") -> Self:
        """Move a loaded recipe to a device; `precision` is the precision of its matrix products at the pixels."""
        mapping = replace(loaded.mapping, precision=precision).to(device)
        _ = mapping.at_tokens  # computed now, so that the first part need not wait for it
        return cls(loaded.recipe, mapping, loaded.model_sha)
