"""The checks of `evaluate --all` before any work, and the inputs that a stored experiment records."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from tests.unit.made.dataset import read_json, run, write_dataset

from cmfm_worker.paper_tables.check import check_run
from cmfm_worker.paper_tables.engines import DevicesEngine
from cmfm_worker.paper_tables.experiments import RunOptions, plan_experiments
from cmfm_worker.paper_tables.variants import VARIANTS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write a data set with one category, "dome"."""
    return write_dataset(tmp_path / "data")


def parts_of(root: Path) -> str:
    """Return the digest of the parts of "dome"."""
    options = RunOptions(root, "mvtec3d", ("dome",), "classic")
    experiments, _ = plan_experiments([VARIANTS["ours"]], options)
    return check_run(experiments, options).parts["dome"]


@pytest.mark.parametrize("folder", ["train/good/xyz", "validation/good/rgb", "test/*/rgb", "test/*/gt"])
def test_changed_file_is_another_input(data: Path, folder: str) -> None:
    """Numbers from a file that has changed are not used, also for a ground truth or a file of the same size."""
    before = parts_of(data)
    assert parts_of(data) == before
    file = next((data / "dome").glob(f"{folder}/*"))
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    assert parts_of(data) != before


def test_experiments_of_another_run_are_not_overwritten(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with other settings is refused with the difference and stays unchanged: it may hold days of work."""
    common = ("evaluate", "--all", "--root", data, "--out", tmp_path / "out", "--tables", "12", "--no-report")
    assert run(*common, "--epochs", 1) == 0
    kept = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert run(*common, "--epochs", 2) == 2
    assert "epochs was 1, is 2" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == kept
    gt = next((data / "dome" / "test").glob("*/gt/*"))
    gt.touch()
    assert run(*common, "--epochs", 1) == 0
    assert "files have changed, these run again: dome / ours" in capsys.readouterr().err


def test_variants_that_draw_too_many_parts_stay_open(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small category is measured; each variant that needs more parts is remarked and has an open place."""
    given = ("--tables", "4", "--no-report", "--epochs", 1)
    assert run("evaluate", "--all", "--root", data, "--out", tmp_path / "out", *given) == 0
    said = capsys.readouterr().err
    for shots in (5, 10, 50):
        assert f"not measured: dome / ours-{shots}-shot: --shots {shots}" in said
    (table,) = read_json(tmp_path / "out" / "tables.json")["tables"]
    measured = {number["row"] for number in table["numbers"] if number["measured"] is not None}
    assert "ours" in measured
    assert not any("shot" in row for row in measured)
    assert "ours-50-shot: not measured" in (tmp_path / "out" / "tables.md").read_text()


def test_run_in_which_nothing_can_be_measured_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If every variant needs more parts than there are, nothing runs."""
    given = ("--tables", "4", "--no-report", "--skip", "ours")
    assert run("evaluate", "--all", "--root", data, "--out", tmp_path / "out", *given) == 2
    assert "--shots 50" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_prepared_parts_are_checked_first(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache that was prepared in another way stops the run before its first experiment."""
    assert run("prepare", "--root", data, "--out", tmp_path / "cache", "--background", "none") == 0
    capsys.readouterr()
    given = ("--out", tmp_path / "out", "--tables", "12", "--prepared", tmp_path / "cache")
    assert run("evaluate", "--all", "--root", data, *given) == 2
    assert "background method is none" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.json"))


def test_killed_process_fails_only_its_experiment(tmp_path: Path) -> None:
    """Its experiment fails, the next one runs in a new process, and no process is left at the end."""
    options = RunOptions(tmp_path, "mvtec3d", ("first", "second"), "classic")
    experiments, _ = plan_experiments([VARIANTS["ours"]], options)
    before = set(multiprocessing.active_children())

    def kill_the_first() -> None:
        for _ in range(600):
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    first, second = DevicesEngine([torch.device("cpu")]).run(experiments, options)
    killer.join()
    assert "died" in first.problem
    assert "not a data set" in second.problem
    assert set(multiprocessing.active_children()) == before
