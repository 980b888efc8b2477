"""Recipes, networks and frames small enough for unit tests, and an extractor whose features are simple."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmfm_worker.cfm.extractor import ExtractorIdentity, PixelFeatures
from cmfm_worker.cfm.mapping.pair import Mapping, MappingPair
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import LoadedRecipe, RecipeDraft
from cmfm_worker.recipes.sections import (
    BackgroundSection,
    CoverageSection,
    ExtractorSection,
    ProvenanceSection,
    ThresholdSection,
)

IDENTITY = ExtractorIdentity("classic", "colour and place", 12, 128)


class ColourAndPlace:
    """An extractor whose features of a pixel are its colour and its point; the mask is the foreground."""

    identity = IDENTITY
    d2 = d3 = 3
    min_points = 20
    device = torch.device("cpu")

    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        mask = frames.foreground
        return PixelFeatures(frames.rgb.permute(0, 2, 3, 1)[mask], frames.xyz.permute(0, 2, 3, 1)[mask], mask)


def pair(seed: int = 0) -> MappingPair:
    """Return two small networks with weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        to_3d, to_2d = (Mapping(3, 3, hidden=4).eval().requires_grad_(False) for _ in range(2))
    return MappingPair(to_3d, to_2d)


def draft(**changes: Any) -> RecipeDraft:
    """Return a complete recipe for `ColourAndPlace` that keeps the background, some of its sections replaced."""
    sections: dict[str, Any] = {
        "name": "part",
        "extractor": ExtractorSection.of(IDENTITY),
        "background": BackgroundSection(method="none"),
        "threshold": ThresholdSection(fail_at=0.5, validation_parts=3, validation_scores=(0.1, 0.25, 0.4)),
        "coverage": CoverageSection(minimum=0.5, nominal_median_px=1000),
        "provenance": ProvenanceSection(made_by="fit", fitted_at="2026-01-02T03:04:05+00:00"),
    }
    return RecipeDraft(**(sections | changes))


def saved(folder: Path, seed: int = 0, **changes: Any) -> LoadedRecipe:
    """Write a recipe to a folder and return it."""
    return save_recipe(folder, draft(**changes), pair(seed))


def model(folder: Path, seed: int = 0, **changes: Any) -> LoadedModel:
    """Return a recipe that is ready for an inspector."""
    return LoadedModel.of(saved(folder, seed, **changes), torch.device("cpu"))


def frames(count: int, side_px: int = 64) -> tuple[Tensor, Tensor]:
    """Return different frames, rgb (B, S, S, 3) uint8 and xyz (B, S, S, 3) metres, every point valid."""
    generator = torch.Generator().manual_seed(5)
    rgb = torch.randint(0, 256, (count, side_px, side_px, 3), dtype=torch.uint8, generator=generator)
    grid = torch.linspace(-0.1, 0.1, side_px)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    height = 0.02 * torch.rand(count, side_px, side_px, generator=generator)
    return rgb, torch.stack([x.expand_as(height), y.expand_as(height), 0.5 - height], dim=-1)
