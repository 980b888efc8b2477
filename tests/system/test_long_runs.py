"""Each long run in a few seconds: it measures what it says, on the real worker, and its report can be read."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from . import long_overload, long_recipe_changes, long_sigterm, long_soak

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SHORT = ["--size-px", "160", "--json"]
LINE = ["--forked", "--rate-hz", "5"]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory, synthetic_root: Path, recipes: Path) -> Path:
    """A folder of long runs, with its parts, its recipe and three versions of it."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "dataset_160").symlink_to(synthetic_root)
    shutil.copytree(recipes / "praline", folder / "recipes" / "praline")
    for number, name in enumerate(long_recipe_changes.VERSIONS):
        shutil.copytree(recipes / "praline", folder / "recipes" / name)
        table = folder / "recipes" / name / "recipe.toml"
        text = table.read_text()
        assert "plane_distance_m = 0.005" in text
        table.write_text(text.replace("plane_distance_m = 0.005", f"plane_distance_m = 0.005{number}"))
    return folder


def run(main: Any, work: Path, out: Path, *options: str) -> dict[str, Any]:
    """The report of a run that met its figures."""
    code = main([*SHORT, str(out / "report.json"), "--work", str(work), *options])
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert (code, report["finished"], report["met"]) == (0, True, True), report["problems"]
    assert report["machine"]["cpu"]
    assert report["commit"]
    return report


def test_soak(work: Path, tmp_path: Path) -> None:
    """A line under load: memory and latency are followed, and every trigger has its verdict at the end."""
    length = ["--minutes", "0.06", "--settle-min", "0.01", "--window-min", "0.02", "--sample-s", "0.3"]
    limits = ["--rss-mib-h", "1e9", "--p99-drift", "1e9", "--deadline-ms", "20000"]
    limits += ["--quiet-cores", "1e9"]
    report = run(long_soak.main, work, tmp_path, *LINE, *length, *limits)
    assert report["counts"]["triggers"] == 18 == sum(report["counts"]["verdicts"].values())
    assert len(report["samples"]["rows"]) >= 8
    assert all(row[1] > 50 for row in report["samples"]["rows"])  # a worker with torch takes more
    assert report["slope_per_h"]["rss_mib"]["error"] > 0
    assert len(report["p99_windows_ms"]) >= 2
    assert all(cost_ms > 0 for cost_ms in report["machine_windows_ms"])
    assert report["cost_drift"]["low"] <= report["cost_drift"]["value"] <= report["cost_drift"]["high"]


def test_overload(work: Path, tmp_path: Path) -> None:
    """Far more parts than can be inspected: each has its verdict, and the report says how late the latest was."""
    load = ["--forked", "--loads", "2", "--seconds", "2", "--capacity-hz", "40", "--grace-ms", "5000"]
    report = run(long_overload.main, work, tmp_path, *load)
    found = report["loads"]["200%"]
    assert found["triggers"] == 160
    assert found["without_verdict"] == 0
    assert found["inspected"] < 1
    assert found["lateness_ms"]["p50"] <= found["lateness_ms"]["p99.9"] <= found["lateness_ms"]["max"]


def test_recipe_changes(work: Path, tmp_path: Path) -> None:
    """Versions loaded and changed over to under load: several models decide, each verdict by one of them."""
    changes = ["--changes", "6", "--every-s", "0.2", "--rise-periods", "1e9", "--deadline-ms", "20000"]
    report = run(long_recipe_changes.main, work, tmp_path, *LINE, *changes)
    assert report["changes"] == {"versions_loaded": 3, "change_overs": 3}
    assert report["models"] >= 2
    assert report["counts"]["without_verdict"] == 0


def test_sigterm(work: Path, tmp_path: Path) -> None:
    """SIGTERM in mid-stream: exit 0, and what was accepted has its verdicts."""
    report = run(long_sigterm.main, work, tmp_path, "--times", "2", "--fresh", "0", "--feed-s", "1")
    assert report["exit_0"] == report["runs"] == 2
    assert 0 < report["answered"] <= report["fired"]
