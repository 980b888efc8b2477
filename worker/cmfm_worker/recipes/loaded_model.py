"""A recipe on a device, ready to inspect with."""

from dataclasses import dataclass, replace
from typing import Self

import torch

from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.recipes.recipe import LoadedRecipe, Recipe


@dataclass(frozen=True, eq=False, slots=True)
class LoadedModel:
    """A recipe ready for use: its networks lie on the device of the extractor it is used with."""

    recipe: Recipe
    mapping: MappingPair
    sha: str

    @classmethod
    def of(cls, loaded: LoadedRecipe, device: torch.device, precision: Precision = "fp32") -> Self:
        """Put a loaded recipe on a device; `precision` is that of its products at the pixels."""
        mapping = replace(loaded.mapping, precision=precision).to(device)
        _ = mapping.at_tokens  # made here, so that no part has to wait for it
        return cls(loaded.recipe, mapping, loaded.model_sha)
