"""`evaluate --all --engine ray`: the same cells on a Ray cluster, here one of two workers on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.dataset import read_json, run, write_dataset

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.engines import CellEnd
from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions, plan_cells
from cmfm_worker.paper_tables.ray_engine import RayEngine, RayOptions
from cmfm_worker.paper_tables.store import CellResult
from cmfm_worker.paper_tables.variants import VARIANTS

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers; nothing of it is left behind."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def cells(count: int) -> list[Cell]:
    options = SuiteOptions(Path("data"), "mvtec3d", tuple(f"c{i}" for i in range(count)), "classic")
    return plan_cells([VARIANTS["ours"]], options)[0]


OPTIONS = SuiteOptions(Path("data"), "mvtec3d", ("c0",), "classic")


def test_no_ray_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the message says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"cmfm\[ray\]"):
        RayEngine(RayOptions())


def test_no_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is not started behind the user's back: a cluster has to be there."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="ray start --head"):
        RayEngine(RayOptions())


def test_numbers_are_those_of_the_local_engine(cluster: None, tmp_path: Path) -> None:
    """Every number of the tables, from the same data set."""
    root = write_dataset(tmp_path / "data")
    found = []
    for engine in ("local", "ray"):
        more = ["--engine", engine, "--no-report", "--epochs", 2, "--tables", "1,7"]
        assert run("evaluate", "--all", "--root", root, "--out", tmp_path / engine, *more) == 0
        tables: list[dict[str, Any]] = read_json(tmp_path / engine / "tables.json")["tables"]
        found.append([number["measured"] for table in tables for number in table["numbers"]])
    assert any(value is not None for value in found[0])
    assert found[1] == pytest.approx(found[0], abs=2e-3)


def test_cell_whose_process_dies_is_begun_again(cluster: None, tmp_path: Path) -> None:
    """A worker that is killed in mid-cell costs time, not the cell."""

    def dies_once(cell: Cell, _options: SuiteOptions, _device: str, _threads: int) -> CellEnd:
        mark = tmp_path / cell.category
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return CellEnd(cell, CellResult({"pid": os.getpid()}))

    ends = list(RayEngine(RayOptions(), dies_once).run(cells(3), OPTIONS))
    assert {end.cell.category for end in ends} == {"c0", "c1", "c2"}
    assert all(end.result is not None and end.result.figures["pid"] != os.getpid() for end in ends)


def test_cell_that_always_dies_is_named_and_the_others_are_kept(cluster: None) -> None:
    """After the last retry it is that cell's problem alone."""

    def dies(cell: Cell, _options: SuiteOptions, _device: str, _threads: int) -> CellEnd:
        if cell.category == "c1":
            os._exit(1)
        return CellEnd(cell, CellResult({}))

    ends = {end.cell.category: end for end in RayEngine(RayOptions(retries=1), dies).run(cells(3), OPTIONS)}
    assert "lost on the cluster" in ends["c1"].problem
    assert ends["c0"].result is not None
    assert ends["c2"].result is not None
