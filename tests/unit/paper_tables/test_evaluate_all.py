"""`cmfm-worker evaluate --all`: the paper's tables over a data set, from one command."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.dataset import read_json, run, write_dataset

from cmfm_worker.paper_tables.engines import CellEnd, DevicesEngine, Engine
from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions

OURS_I_AUROC = ("ours", "product", "i_auroc")
SKIPPED = "ours-5-shot,ours-10-shot,ours-50-shot"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories."""
    root = write_dataset(tmp_path_factory.mktemp("all"))
    shutil.copytree(root / "dome", root / "hill")
    return root


def evaluate_all(root: Path, out: Path, *more: object) -> int:
    return run("evaluate", "--all", "--root", root, "--out", out, "--epochs", 2, "--skip", SKIPPED, *more)


def numbers(out: Path) -> list[dict[str, Any]]:
    """All numbers of all tables that do not depend on the machine."""
    tables: list[dict[str, Any]] = read_json(out / "tables.json")["tables"]
    return [n for table in tables for n in table["numbers"] if n["metric"] not in ("fps", "memory_mb")]


def place(number: dict[str, Any]) -> tuple[Any, ...]:
    """Where a number stands in its table."""
    return tuple(number[key] for key in ("row", "aggregation", "metric", "category"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert evaluate_all(data, out) == 0
    return out


def test_one_command_makes_every_table(whole: Path) -> None:
    """All but that of 2D extractors, in Markdown, CSV and JSON; what `classic` has not is said, not made up."""
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


def test_report_shows_what_it_should(whole: Path) -> None:
    """Curves, histogram and pictures of each category; every picture that the page links is there."""
    page = (whole / "report.html").read_text()
    for word in ("dome", "hill", "threshold", "per-region overlap", "Table 13"):
        assert word in page
    linked = [piece.partition('"')[0] for piece in page.split('<img src="')[1:]]
    assert linked
    assert all((whole / name).is_file() for name in linked)


def test_recipes_of_a_run_can_be_used(whole: Path, data: Path, tmp_path: Path) -> None:
    """The recipe of a category, taken out of the run's folder, reaches the figures of the table."""
    recipe = whole / "recipes" / "dome-ours"
    code = run(
        "evaluate", "--recipe", recipe, "--root", data, "--category", "dome", "--json", tmp_path / "f.json"
    )
    assert code == 0
    cell = read_json(whole / "cells" / "dome" / "ours.json")
    alone = read_json(tmp_path / "f.json")
    for key in ("i_auroc", "p_auroc", "aupro", "aupro_99"):
        assert alone[key] == pytest.approx(cell["metrics"]["product"][key])


class InterruptedEngine:
    """The local engine, which a person stops after some cells."""

    def __init__(self, inner: Engine, cells: int) -> None:
        self._inner, self._cells = inner, cells

    def run(self, cells: Sequence[Cell], options: SuiteOptions) -> Iterator[CellEnd]:
        for i, end in enumerate(self._inner.run(cells, options)):
            if i == self._cells:
                raise KeyboardInterrupt
            yield end


def test_interrupted_run_goes_on(
    whole: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was finished is kept and not measured again; the tables are those of a run in one go."""
    from cmfm_worker.cli import evaluate_all as command

    engine = command._engine
    monkeypatch.setattr(
        command, "_engine", lambda how: lambda progress: InterruptedEngine(engine(how)(progress), 3)
    )
    assert evaluate_all(data, tmp_path, "--no-report") != 0
    assert f"cells are kept in {tmp_path}; the same command goes on" in capsys.readouterr().err
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.json")}
    assert len(kept) == 3
    assert "3 of" in (tmp_path / "tables.md").read_text()
    monkeypatch.setattr(command, "_engine", engine)
    assert evaluate_all(data, tmp_path, "--no-report") == 0
    assert "3 of" in capsys.readouterr().err
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert numbers(tmp_path) == numbers(whole)


def test_several_devices_give_the_same_numbers(whole: Path, data: Path, tmp_path: Path) -> None:
    """Cells shared out over processes, one a device."""
    assert evaluate_all(data, tmp_path, "--no-report", "--device", "cpu,cpu", "--tables", "1,7") == 0
    for number in numbers(tmp_path):
        (same, *_) = [n for n in numbers(whole) if place(n) == place(number)]
        assert number["measured"] == pytest.approx(same["measured"], abs=2e-3)


def test_bad_category_costs_itself_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training file that is torn is named, the other category is measured, and the exit code says so."""
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


def test_torn_test_part_is_left_out_and_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It costs itself alone: the category is measured on the others, and tables and report name the file."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    torn = next((root / "hill" / "test" / "good" / "rgb").glob("*.png"))
    torn.write_bytes(torn.read_bytes()[:200])
    assert evaluate_all(root, tmp_path / "out", "--tables", "1") == 0
    assert "1 part left out" in capsys.readouterr().err
    for name in ("tables.md", "report.html"):
        assert f"hill-test-good-{torn.stem}" in (tmp_path / "out" / name).read_text()
    cell = read_json(tmp_path / "out" / "cells" / "hill" / "ours.json")
    assert len(cell["parts"]) == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--tables", "14"), "no table 14"),
        (("--skip", "ours-x"), "no such variant"),
        (("--category", "bagel"), "no category 'bagel'"),
        (("--extractors", "paper"), "--weights"),
        (("--skip", "ours"), "--shots 5"),
    ],
)
def test_bad_input_is_said_before_any_work(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    """Exit code 2 and a message that names what is wrong; nothing was computed."""
    assert run("evaluate", "--all", "--root", data, "--out", tmp_path / "out", "--epochs", 2, *more) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.json"))


def test_devices_engine_waits_for_its_processes(data: Path) -> None:
    """No cells, no work, no process left behind."""
    import torch

    assert (
        list(
            DevicesEngine([torch.device("cpu")]).run([], SuiteOptions(data, "mvtec3d", ("dome",), "classic"))
        )
        == []
    )
