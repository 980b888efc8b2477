"""Fixtures of the parity tests: seeded weights, made once, and extractors, built once for each variant."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from cmfm_worker.cfm.paper_extractor import PaperExtractor

from .checkpoints import seeded_weights_dir
from .golden import GoldenFrame, load_golden


@pytest.fixture(scope="session")
def seeded_weights(shared: Path) -> Path:
    """The folder of seeded DINO, Point-MAE and mapping weights in the published formats."""
    return seeded_weights_dir(shared)


@pytest.fixture(scope="session")
def golden(shared: Path, seeded_weights: Path) -> Callable[[str], GoldenFrame]:
    """Returns a function that loads a golden frame by name."""
    return lambda name: load_golden(name, shared, seeded_weights)


@pytest.fixture(scope="module")
def extractor(seeded_weights: Path) -> Callable[[int, int], PaperExtractor]:
    """Returns a function that builds an extractor for (blocks, group size). It keeps the last one for successive
    tests.
    """

    @lru_cache(maxsize=1)
    def build(blocks: int, group_size: int) -> PaperExtractor:
        return PaperExtractor(seeded_weights, blocks, group_size)

    return build
