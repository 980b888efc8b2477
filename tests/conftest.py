"""Fixtures of every test: the folder of shared references, and a tiny synthetic data set made once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

# Tests that run beside others have a thread each: more threads than processors wait for one another, spinning.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """Let every test begin and end with structlog as it comes, whatever a test before it configured."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the repository (golden vectors, real frames); skips without it."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the folder of references {folder}, which is not there")
    return folder


@pytest.fixture(scope="session")
def synthetic_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 2 categories: 6 train, 3 validation and 2 good parts, and 1 part a kind of defect."""
    from cmfm_sim.datasets.write import write_dataset

    root = tmp_path_factory.mktemp("synthetic")
    write_dataset(
        root,
        categories=("praline", "circuit"),
        train=6,
        validation=3,
        good=2,
        per_defect=1,
        seed=7,
        size_px=160,
    )
    return root


@pytest.fixture(scope="session")
def eyecandies_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature of Eyecandies, which no test may change."""
    from tests.made_eyecandies import write_category

    return write_category(tmp_path_factory.mktemp("eyecandies"))
