"""`cmfm-worker prepare`: prepared parts give the same results bit for bit, or are refused by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from tests.unit.made.dataset import fit, frame, read_json, run, write_part

from cmfm_protocol.files.dataset import SPLITS, PartFiles, list_parts
from cmfm_worker.cfm.prepare import COMPUTED, BackgroundOptions
from cmfm_worker.datasets.cache.fill import fill, open_or_make
from cmfm_worker.datasets.cache.key import CacheKey
from cmfm_worker.datasets.cache.part_file import most_part_bytes
from cmfm_worker.datasets.cache.store import CacheStore
from cmfm_worker.datasets.source import FROM_FILES
from cmfm_worker.recipes.recipe import load_recipe

CPU = torch.device("cpu")


@pytest.fixture
def data(taught: tuple[Path, Path], tmp_path: Path) -> Path:
    """Copy the data set, so that the test may change it; the files keep their times."""
    shutil.copytree(taught[0], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def cache(data: Path, tmp_path: Path) -> Path:
    """Prepare all parts of the copy with default options."""
    assert prepare(data, tmp_path / "cache") == 0
    return tmp_path / "cache"


def prepare(root: Path, out: Path, *more: object) -> int:
    return run("prepare", "--root", root, "--out", out, *more)


def evaluate(root: Path, recipe: Path, *more: object) -> int:
    return run("evaluate", "--recipe", recipe, "--root", root, "--category", "dome", *more)


def figures(root: Path, recipe: Path, out: Path, *more: object) -> dict[str, Any]:
    assert evaluate(root, recipe, "--json", out, *more) == 0
    return read_json(out) | {"fps": None, "prepared": None}


def summary(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def all_parts(root: Path) -> list[PartFiles]:
    return [part for split in SPLITS for part in list_parts(root, "dome", split)]


def test_prepared_frames_are_the_same_bits(data: Path, cache: Path) -> None:
    """Every array of every part is the same, in the same batches, also for pictures of different sizes."""
    rgb, xyz = frame(50)
    write_part(data / "dome" / "test" / "good", "001", rgb[:80], xyz[:80])
    assert prepare(data, cache) == 0
    options, parts = BackgroundOptions(), all_parts(data)
    from_files = list(FROM_FILES.batches(parts, 3, options, CPU))
    from_cache = list(CacheStore.open(cache).batches(parts, 3, options, CPU))
    assert len(from_files) == len(from_cache) == 6
    for one, other in zip(from_files, from_cache, strict=True):
        assert (one.files, one.size_px) == (other.files, other.size_px)
        for name in (*COMPUTED, "picture"):
            here, there = getattr(one.frames, name), getattr(other.frames, name)
            assert here.dtype == there.dtype
            assert here.numpy().tobytes() == there.numpy().tobytes(), name


def test_results_are_the_same_with_and_without(
    data: Path, cache: Path, taught: tuple[Path, Path], tmp_path: Path
) -> None:
    """With prepared parts `fit` teaches the same networks and threshold and `evaluate` gives the same figures."""
    without = figures(data, taught[1], tmp_path / "a.json")
    assert figures(data, taught[1], tmp_path / "b.json", "--prepared", cache) == without
    assert without["frames"] == 4
    recipes = []
    for name, more in (("one", []), ("two", ["--prepared", cache])):
        assert fit(data, tmp_path / name / "dome", *more) == 0
        recipes.append(load_recipe(tmp_path / name / "dome").recipe)
    assert recipes[0].model_sha == recipes[1].model_sha
    assert recipes[0].threshold == recipes[1].threshold


def test_run_says_how_many_parts_and_bytes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary is a table, or JSON with --json; a second run has nothing to do."""
    out = tmp_path / "cache"
    assert prepare(data, out, "--json") == 0
    first = summary(capsys)
    assert (first["parts"], first["made"], first["kept"], first["torn"]) == (13, 13, 0, {})
    assert first["bytes"] == sum(path.stat().st_size for path in (out / "parts").iterdir())
    assert 600_000 < first["bytes"] / 13 < 900_000 < most_part_bytes((120, 120))
    assert prepare(data, out, "--json") == 0
    again = summary(capsys)
    assert (again["made"], again["kept"], again["bytes"]) == (0, 13, first["bytes"])
    assert prepare(data, out) == 0
    shown = capsys.readouterr()
    assert "13 parts; they need at most 16 MB" in shown.err
    assert f"13, {first['bytes'] / 1e6:.1f} MB" in shown.out


def test_interrupted_run_is_resumed(data: Path, tmp_path: Path) -> None:
    """Finished parts are kept, no unfinished file remains, and the next run prepares the rest."""
    cache = open_or_make(tmp_path / "cache", CacheKey.here(BackgroundOptions(), CPU), force=False)
    parts = all_parts(data)

    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(cache, parts, 2, CPU, interrupt)
    assert len(list((tmp_path / "cache" / "parts").iterdir())) == 5
    filled = fill(cache, parts, 2, CPU, lambda *_: None)
    assert (filled.kept, filled.prepared, filled.renewed) == (5, 8, 0)
    cache.require(parts, BackgroundOptions(), CPU)


def test_changed_file_makes_its_part_stale(
    data: Path,
    cache: Path,
    taught: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A changed file is named before any work; the next run prepares only its part again."""
    changed = data / "dome" / "test" / "good" / "xyz" / "000.tiff"
    xyz = tifffile.imread(changed)
    xyz[40:50, 40:50, 2] -= 0.01
    tifffile.imwrite(changed, xyz, photometric="rgb")
    assert evaluate(data, taught[1], "--prepared", cache) == 2
    said = capsys.readouterr().err
    assert f"{changed} has changed since it was prepared" in said
    assert "cmfm-worker prepare" in said
    assert prepare(data, cache, "--json") == 0
    renewed = summary(capsys)
    assert (renewed["renewed"], renewed["made"], renewed["kept"]) == (1, 1, 12)
    without = figures(data, taught[1], tmp_path / "a.json")
    assert figures(data, taught[1], tmp_path / "b.json", "--prepared", cache) == without


def test_parts_of_another_data_set_are_refused(
    data: Path, cache: Path, taught: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts with the same names but other files are refused."""
    for path in data.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    assert evaluate(data, taught[1], "--prepared", cache) == 2
    assert "(and 3 more of 4)" in capsys.readouterr().err


def test_missing_parts_are_named(
    data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part that is missing in the cache is named; it is neither skipped nor prepared silently."""
    cache = tmp_path / "cache"
    assert prepare(data, cache) == 0
    rgb, xyz = frame(51)
    write_part(data / "dome" / "test" / "good", "007", rgb, xyz)
    capsys.readouterr()
    assert evaluate(data, taught[1], "--prepared", cache) == 2
    assert "dome-test-good-007.safetensors is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--plane-distance-m", 0.004], "plane_distance_m is 0.004, but 0.005 is asked for"),
        (["--clusters", "all"], "clusters is all, but largest is asked for"),
        (["--background", "none"], "method is none, but ransac is asked for"),
    ],
)
def test_foreign_background_is_refused_by_name(
    data: Path,
    taught: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: list[object],
    named: str,
) -> None:
    """Frames prepared with another background are refused, as they would give other figures."""
    assert prepare(data, tmp_path / "cache", *given) == 0
    assert evaluate(data, taught[1], "--prepared", tmp_path / "cache") == 2
    assert named in capsys.readouterr().err
    assert prepare(data, tmp_path / "cache") == 2
    assert named in capsys.readouterr().err
    assert fit(data, tmp_path / "recipe", "--prepared", tmp_path / "cache", *given) == 0


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("code", "0" * 64, "another version of this program"),
        ("torch_version", "2.0.0", "prepared with torch 2.0.0"),
        ("device", "cuda", "prepared on cuda, but cpu is asked for"),
    ],
)
def test_cache_with_another_key_is_refused_until_forced(
    data: Path,
    cache: Path,
    taught: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: str,
    said: str,
) -> None:
    """A cache of another program, torch or device is refused; --force prepares every part again."""
    manifest = cache / "manifest.json"
    table = read_json(manifest)
    table["key"][key] = value
    manifest.write_text(json.dumps(table))
    assert evaluate(data, taught[1], "--prepared", cache) == 2
    assert said in capsys.readouterr().err
    assert prepare(data, cache) == 2
    assert "--force" in capsys.readouterr().err
    assert prepare(data, cache, "--force") == 0
    assert evaluate(data, taught[1], "--prepared", cache) == 0


def test_parts_with_another_key_than_the_manifest_are_refused(
    data: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts whose key differs from the manifest's are refused, even if the manifest is the one asked for."""
    table = read_json(cache / "manifest.json")
    table["key"]["background"]["plane_distance_m"] = 0.02
    (cache / "manifest.json").write_text(json.dumps(table))
    assert fit(data, cache.parent / "other", "--plane-distance-m", 0.02, "--prepared", cache) == 2
    assert "was prepared in another way" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "emptied", "swapped"])
def test_damaged_part_of_the_cache_is_named(
    data: Path, cache: Path, taught: tuple[Path, Path], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """A damaged file, or one of another part, is refused; running `prepare` again repairs it."""
    path = cache / "parts" / "dome-test-good-000.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:50_000])
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        shutil.copy(cache / "parts" / "dome-test-good-001.safetensors", path)
    assert evaluate(data, taught[1], "--prepared", cache) == 2
    assert "dome-test-good-000.safetensors" in capsys.readouterr().err
    assert prepare(data, cache) == 0
    assert evaluate(data, taught[1], "--prepared", cache) == 0


def test_taught_tray_is_prepared_from_its_recipe(data: Path, tmp_path: Path) -> None:
    """A recipe with a fixed tray gives the same figures from parts that were prepared with that tray."""
    recipe, cache = tmp_path / "dome", tmp_path / "cache"
    assert fit(data, recipe, "--background", "fixed") == 0
    assert prepare(data, cache, "--recipe", recipe, "--category", "dome") == 0
    without = figures(data, recipe, tmp_path / "a.json")
    assert figures(data, recipe, tmp_path / "b.json", "--prepared", cache) == without


def test_tray_cannot_be_taught_from_prepared_parts(
    data: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fit --background fixed` refuses prepared parts, whose tray is removed already."""
    assert fit(data, tmp_path / "dome", "--background", "fixed", "--prepared", cache) == 2
    assert "--prepared" in capsys.readouterr().err


def test_unreadable_part_is_named_by_every_command(
    data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`prepare` names an unreadable part, prepares the others and exits with code 2. `evaluate` counts it as without a
    cache, `fit` stops. A repaired part is prepared by the next run."""
    cache = tmp_path / "cache"
    torn = [data / "dome" / split / "good" / "rgb" / "001.png" for split in ("train", "test")]
    whole = [path.read_bytes() for path in torn]
    for path in torn:
        path.write_bytes(path.read_bytes()[:500])
    assert prepare(data, cache) == 2
    said = capsys.readouterr().err
    assert "torn: dome-train-good-001" in said
    assert "2 of 13 parts cannot be read" in said
    without = figures(data, taught[1], tmp_path / "a.json")
    assert list(without["torn"]) == ["dome-test-good-001"]
    assert figures(data, taught[1], tmp_path / "b.json", "--prepared", cache) == without
    capsys.readouterr()
    assert fit(data, tmp_path / "dome", "--prepared", cache) == 2
    assert str(torn[0]) in capsys.readouterr().err
    assert prepare(data, cache, "--json") == 2
    assert summary(capsys)["kept"] == 13
    for path, content in zip(torn, whole, strict=True):
        path.write_bytes(content)
    assert prepare(data, cache) == 0
    assert fit(data, tmp_path / "dome", "--prepared", cache) == 0


def test_part_without_3d_is_prepared(data: Path, taught: tuple[Path, Path], tmp_path: Path) -> None:
    """A part without 3D is prepared and counts as a FAULT, not as unreadable, as on the line."""
    bad = data / "dome" / "test" / "good" / "xyz" / "001.tiff"
    tifffile.imwrite(bad, np.zeros_like(tifffile.imread(bad)), photometric="rgb")
    assert prepare(data, tmp_path / "cache") == 0
    found = figures(data, taught[1], tmp_path / "b.json", "--prepared", tmp_path / "cache")
    assert list(found["not_inspected"]) == ["dome-test-good-001"]
    assert found["verdicts"]["FAULT"] == 1


def test_folder_that_is_not_a_cache_is_refused(
    data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not a cache is neither read as one nor overwritten."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "notes.txt").write_text("mine")
    assert prepare(data, tmp_path / "precious", "--force") == 2
    assert "nothing changed" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["notes.txt"]
    assert evaluate(data, taught[1], "--prepared", tmp_path / "precious") == 2
    assert "it has no manifest.json" in capsys.readouterr().err
    (tmp_path / "precious" / "manifest.json").write_text('{"format_version": 9}')
    assert evaluate(data, taught[1], "--prepared", tmp_path / "precious") == 2
    assert "format_version is 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--category", "bagel"], "no category 'bagel'"),
        (["--dataset", "eyecandies"], "it has the layout 'mvtec3d'"),
        (["--light", 3], "--light"),
        (["--recipe", "/nowhere"], "/nowhere"),
        (["--plane-distance-m", 0], "plane_distance_m"),
    ],
)
def test_wrong_option_is_named_and_nothing_is_made(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[object], named: str
) -> None:
    """A wrong option gives exit code 2, is named, and no folder is created."""
    assert prepare(data, tmp_path / "cache", *arguments) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_missing_ground_truth_is_found_first(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing ground truth is reported before parts are prepared, which may take hours."""
    (data / "dome" / "test" / "stain" / "gt" / "001.png").unlink()
    assert prepare(data, tmp_path / "cache") == 2
    assert "gt/001.png is missing" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
