"""What `evaluate --all` looks at before any work, and what a kept cell was measured from."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from tests.unit.made.dataset import run, write_dataset

from cmfm_worker.paper_tables.check import check_run
from cmfm_worker.paper_tables.engines import DevicesEngine
from cmfm_worker.paper_tables.experiments import SuiteOptions, plan_cells
from cmfm_worker.paper_tables.variants import VARIANTS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One category, "dome"."""
    return write_dataset(tmp_path / "data")


def parts_of(root: Path) -> str:
    """The digest of the parts of "dome"."""
    options = SuiteOptions(root, "mvtec3d", ("dome",), "classic")
    cells, _ = plan_cells([VARIANTS["ours"]], options)
    return check_run(cells, options).parts["dome"]


@pytest.mark.parametrize("folder", ["train/good/xyz", "validation/good/rgb", "test/*/rgb", "test/*/gt"])
def test_changed_file_is_another_input(data: Path, folder: str) -> None:
    """Also a ground truth, and also a file that has kept its size: numbers from the old one do not count."""
    before = parts_of(data)
    assert parts_of(data) == before
    file = next((data / "dome").glob(f"{folder}/*"))
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    assert parts_of(data) != before


def test_other_runs_cells_are_not_written_over(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may have taken days: what differs is said, and the folder stays as it is."""
    common = ("evaluate", "--all", "--root", data, "--out", tmp_path / "out", "--tables", "12", "--no-report")
    assert run(*common, "--epochs", 1) == 0
    kept = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert run(*common, "--epochs", 2) == 2
    assert "epochs was 1, is 2" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == kept
    gt = next((data / "dome" / "test").glob("*/gt/*"))
    gt.touch()
    assert run(*common, "--epochs", 1) == 0
    assert "files have changed since, measured again: dome / ours" in capsys.readouterr().err


def test_all_variants_that_draw_too_many_parts_are_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One try tells all that has to be left out."""
    assert run("evaluate", "--all", "--root", data, "--out", tmp_path / "out", "--tables", "4") == 2
    assert "--skip ours-5-shot,ours-10-shot,ours-50-shot" in capsys.readouterr().err


def test_prepared_parts_are_looked_at_first(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache that was prepared in another way stops the run, not every cell of it."""
    assert run("prepare", "--root", data, "--out", tmp_path / "cache", "--background", "none") == 0
    capsys.readouterr()
    given = ("--out", tmp_path / "out", "--tables", "12", "--prepared", tmp_path / "cache")
    assert run("evaluate", "--all", "--root", data, *given) == 2
    assert "background method is none" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.json"))


def test_killed_process_costs_its_cell_alone(tmp_path: Path) -> None:
    """The cell that was in it is a problem, the next one is worked on in a new process, and none is left behind."""
    options = SuiteOptions(tmp_path, "mvtec3d", ("first", "second"), "classic")
    cells, _ = plan_cells([VARIANTS["ours"]], options)
    before = set(multiprocessing.active_children())

    def kill_the_first() -> None:
        for _ in range(600):
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    first, second = DevicesEngine([torch.device("cpu")]).run(cells, options)
    killer.join()
    assert "died" in first.problem
    assert "not a data set" in second.problem
    assert set(multiprocessing.active_children()) == before
