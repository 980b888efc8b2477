"""Fixtures of the unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.made.dataset import fit, write_dataset


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set of category "dome" and a recipe taught on it: (root, recipe). No test may change them."""
    folder = tmp_path_factory.mktemp("taught")
    root, recipe = write_dataset(folder / "data"), folder / "dome"
    assert fit(root, recipe, "--epochs", 20) == 0
    return root, recipe
