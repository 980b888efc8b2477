"""`cmfm-worker evaluate --all` makes the paper's tables over a data set."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.dataset import read_json, run, write_dataset

from cmfm_worker.cli.evaluate_all import HowToRun, variant_names
from cmfm_worker.cli.evaluate_all import evaluate_all as run_command
from cmfm_worker.paper_tables.engines import DevicesEngine, Engine, ExperimentEnd
from cmfm_worker.paper_tables.experiments import Experiment, RunOptions

OURS_I_AUROC = ("ours", "product", "i_auroc")
SKIPPED = "ours-5-shot,ours-10-shot,ours-50-shot"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data set of two categories."""
    root = write_dataset(tmp_path_factory.mktemp("all"))
    shutil.copytree(root / "dome", root / "hill")
    return root


def evaluate_all(root: Path, out: Path, *more: object) -> int:
    return run("evaluate", "--all", "--root", root, "--out", out, "--epochs", 2, "--skip", SKIPPED, *more)


def numbers(out: Path) -> list[dict[str, Any]]:
    """Return all numbers of all tables that do not depend on the machine."""
    tables: list[dict[str, Any]] = read_json(out / "tables.json")["tables"]
    return [n for table in tables for n in table["numbers"] if n["metric"] not in ("fps", "memory_mb")]


def place(number: dict[str, Any]) -> tuple[Any, ...]:
    """Return the place of a number in its table."""
    return tuple(number[key] for key in ("row", "aggregation", "metric", "category"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    assert evaluate_all(data, out) == 0
    return out


def test_one_command_makes_every_table(whole: Path) -> None:
    """Markdown, CSV and JSON hold all tables but that of 2D extractors; variants that `classic` lacks are named."""
    tables = read_json(whole / "tables.json")["tables"]
    assert [table["table"] for table in tables] == [n for n in range(1, 14) if n != 10]
    by_row = {place(number): number["measured"] for number in numbers(whole)}
    assert by_row["ours", "product", "i_auroc", "dome"] == 1.0
    assert by_row["ours", "product", "i_auroc", "mean"] == 1.0
    assert 0 < by_row["ours", "sum", "aupro_1", "mean"] <= 1
    assert by_row["conv-encoder-decoder-50-epochs", "product", "aupro_30", "mean"] > 0
    assert by_row["intra-50-epochs", "3d", "p_auroc", "mean"] > 0
    assert by_row["ours-t", "product", "i_auroc", "mean"] is None
    markdown = (whole / "tables.md").read_text()
    assert "not measured" in markdown
    assert "ours-t" in markdown
    assert (whole / "tables.csv").read_text().count("\n") > 300


def test_report_shows_charts_and_pictures(whole: Path) -> None:
    """The page has curves, histogram and pictures of each category; every linked picture exists."""
    page = (whole / "report.html").read_text()
    for word in ("dome", "hill", "threshold", "per-region overlap", "Table 13"):
        assert word in page
    linked = [piece.partition('"')[0] for piece in page.split('<img src="')[1:]]
    assert linked
    assert all((whole / name).is_file() for name in linked)


def test_recipes_of_a_run_can_be_used(whole: Path, data: Path, tmp_path: Path) -> None:
    """`evaluate` with the recipe of a category, taken from the run's folder, gives the figures of the table."""
    recipe = whole / "recipes" / "dome-ours"
    code = run(
        "evaluate", "--recipe", recipe, "--root", data, "--category", "dome", "--json", tmp_path / "f.json"
    )
    assert code == 0
    experiment = read_json(whole / "experiments" / "dome" / "ours.json")
    alone = read_json(tmp_path / "f.json")
    for key in ("i_auroc", "p_auroc", "aupro", "aupro_99"):
        assert alone[key] == pytest.approx(experiment["metrics"]["product"][key])


class InterruptedEngine:
    """A local engine that is interrupted after some experiments."""

    def __init__(self, inner: Engine, experiments: int) -> None:
        self._inner, self._experiments = inner, experiments

    def run(self, experiments: Sequence[Experiment], options: RunOptions) -> Iterator[ExperimentEnd]:
        for i, end in enumerate(self._inner.run(experiments, options)):
            if i == self._experiments:
                raise KeyboardInterrupt
            yield end


def test_interrupted_run_continues(
    whole: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finished experiments are stored and not run again; the tables are those of an uninterrupted run."""
    options = RunOptions(data, "mvtec3d", ("dome", "hill"), "classic", epochs=2)
    how = HowToRun(tmp_path, None, variant_names(SKIPPED), ("auto",), "local", "auto", 0.0, report=False)
    with pytest.raises(KeyboardInterrupt):
        run_command(options, how, lambda engine: InterruptedEngine(engine, 3))
    assert f"experiments are stored in {tmp_path}; repeat the command to continue" in capsys.readouterr().err
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "experiments").rglob("*.json")}
    assert len(kept) == 3
    assert "3 of" in (tmp_path / "tables.md").read_text()
    assert evaluate_all(data, tmp_path, "--no-report") == 0
    assert "3 of" in capsys.readouterr().err
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert numbers(tmp_path) == numbers(whole)


def test_several_devices_give_the_same_numbers(whole: Path, data: Path, tmp_path: Path) -> None:
    """Experiments that run in several processes, one a device, give the same numbers."""
    assert evaluate_all(data, tmp_path, "--no-report", "--device", "cpu,cpu", "--tables", "1,7") == 0
    for number in numbers(tmp_path):
        (same, *_) = [n for n in numbers(whole) if place(n) == place(number)]
        assert number["measured"] == pytest.approx(same["measured"], abs=2e-3)


def test_bad_category_fails_alone(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged training file is named, the other category is measured, and the exit code is 2."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    torn = next((root / "hill" / "train" / "good" / "xyz").glob("*.tiff"))
    torn.write_bytes(torn.read_bytes()[:300])
    assert evaluate_all(root, tmp_path / "out", "--tables", "1", "--no-report") == 2
    assert torn.stem in capsys.readouterr().err
    found = {n["category"]: n["measured"] for n in numbers(tmp_path / "out") if place(n)[:3] == OURS_I_AUROC}
    assert found["dome"] == 1.0
    assert found["hill"] is None
    assert found["mean"] is None


def test_damaged_test_part_is_left_out_and_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The category is measured on the other parts, and tables and report name the file."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    torn = next((root / "hill" / "test" / "good" / "rgb").glob("*.png"))
    torn.write_bytes(torn.read_bytes()[:200])
    assert evaluate_all(root, tmp_path / "out", "--tables", "1") == 0
    assert "1 part left out" in capsys.readouterr().err
    for name in ("tables.md", "report.html"):
        assert f"hill-test-good-{torn.stem}" in (tmp_path / "out" / name).read_text()
    experiment = read_json(tmp_path / "out" / "experiments" / "hill" / "ours.json")
    assert len(experiment["parts"]) == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--tables", "14"), "no table 14"),
        (("--skip", "ours-x"), "no such variant"),
        (("--category", "bagel"), "no category 'bagel'"),
        (("--extractors", "paper"), "--weights"),
        (("--tables", "4", "--skip", "ours"), "--shots 5"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    """The exit code is 2, the message names the mistake, and nothing is computed."""
    assert run("evaluate", "--all", "--root", data, "--out", tmp_path / "out", "--epochs", 2, *more) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.json"))


def test_devices_engine_waits_for_its_processes(data: Path) -> None:
    """Without experiments it ends at once and leaves no process."""
    import torch

    assert (
        list(DevicesEngine([torch.device("cpu")]).run([], RunOptions(data, "mvtec3d", ("dome",), "classic")))
        == []
    )
