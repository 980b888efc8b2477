"""`evaluate --all --engine ray` runs the same experiments on a Ray cluster, here of two workers on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.dataset import read_json, run, write_dataset

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.engines import ExperimentEnd
from cmfm_worker.paper_tables.experiments import Experiment, RunOptions, plan_experiments
from cmfm_worker.paper_tables.ray_engine import RayEngine, RayOptions
from cmfm_worker.paper_tables.store import ExperimentResult
from cmfm_worker.paper_tables.variants import VARIANTS

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Start a cluster of two workers, and stop it at the end."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def experiments(count: int) -> list[Experiment]:
    options = RunOptions(Path("data"), "mvtec3d", tuple(f"c{i}" for i in range(count)), "classic")
    return plan_experiments([VARIANTS["ours"]], options)[0]


OPTIONS = RunOptions(Path("data"), "mvtec3d", ("c0",), "classic")


def test_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the message names the extra to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"cmfm\[ray\]"):
        RayEngine(RayOptions())


def test_missing_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster is started implicitly: without one the message says how to start it."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="ray start --head"):
        RayEngine(RayOptions())


def test_numbers_are_those_of_the_local_engine(cluster: None, tmp_path: Path) -> None:
    """The cluster gives every number of the tables that the local engine gives."""
    root = write_dataset(tmp_path / "data")
    found = []
    for engine in ("local", "ray"):
        more = ["--engine", engine, "--no-report", "--epochs", 2, "--tables", "1,7"]
        assert run("evaluate", "--all", "--root", root, "--out", tmp_path / engine, *more) == 0
        tables: list[dict[str, Any]] = read_json(tmp_path / engine / "tables.json")["tables"]
        found.append([number["measured"] for table in tables for number in table["numbers"]])
    assert any(value is not None for value in found[0])
    assert found[1] == pytest.approx(found[0], abs=2e-3)


def test_experiment_whose_process_dies_is_retried(cluster: None, tmp_path: Path) -> None:
    """An experiment whose worker is killed is started again and finishes."""

    def dies_once(experiment: Experiment, _options: RunOptions, _device: str, _threads: int) -> ExperimentEnd:
        mark = tmp_path / experiment.category
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return ExperimentEnd(experiment, ExperimentResult({"pid": os.getpid()}))

    ends = list(RayEngine(RayOptions(), dies_once).run(experiments(3), OPTIONS))
    assert {end.experiment.category for end in ends} == {"c0", "c1", "c2"}
    assert all(end.result is not None and end.result.figures["pid"] != os.getpid() for end in ends)


def test_experiment_that_always_dies_fails_alone(cluster: None) -> None:
    """After the last retry only that experiment fails, with its reason."""

    def dies(experiment: Experiment, _options: RunOptions, _device: str, _threads: int) -> ExperimentEnd:
        if experiment.category == "c1":
            os._exit(1)
        return ExperimentEnd(experiment, ExperimentResult({}))

    ends = {
        end.experiment.category: end
        for end in RayEngine(RayOptions(retries=1), dies).run(experiments(3), OPTIONS)
    }
    assert "lost on the cluster" in ends["c1"].problem
    assert ends["c0"].result is not None
    assert ends["c2"].result is not None
