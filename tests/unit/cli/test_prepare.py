"""`cmfm-worker prepare` and what takes its folder: the same results bit for bit, or a refusal by name."""

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
from cmfm_worker.cfm.prepare import BackgroundOptions
from cmfm_worker.datasets.cache.fill import fill, open_or_make
from cmfm_worker.datasets.cache.key import CacheKey
from cmfm_worker.datasets.cache.part_file import MAX_PART_BYTES
from cmfm_worker.datasets.cache.store import CacheStore
from cmfm_worker.datasets.source import FROM_FILES
from cmfm_worker.recipes.recipe import load_recipe

CPU = torch.device("cpu")


@pytest.fixture
def data(taught: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the data set that the test may change, its files as old as those of the original."""
    shutil.copytree(taught[0], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def cache(data: Path, tmp_path: Path) -> Path:
    """All parts of the copy, prepared by default."""
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
    """Every array of every part, in the same batches, also where pictures differ in size."""
    rgb, xyz = frame(50)
    write_part(data / "dome" / "test" / "good", "001", rgb[:80], xyz[:80])
    assert prepare(data, cache) == 0
    options, parts = BackgroundOptions(), all_parts(data)
    from_files = list(FROM_FILES.batches(parts, 3, options, CPU))
    from_cache = list(CacheStore.open(cache).batches(parts, 3, options, CPU))
    assert len(from_files) == len(from_cache) == 6
    for one, other in zip(from_files, from_cache, strict=True):
        assert (one.files, one.size_px) == (other.files, other.size_px)
        for name in ("rgb", "xyz", "foreground", "valid", "plane"):
            here, there = getattr(one.frames, name), getattr(other.frames, name)
            assert here.dtype == there.dtype
            assert here.numpy().tobytes() == there.numpy().tobytes(), name


def test_results_are_the_same_with_and_without(
    data: Path, cache: Path, taught: tuple[Path, Path], tmp_path: Path
) -> None:
    """`fit` teaches the same networks and threshold, `evaluate` measures the same figures."""
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
    """The summary is for people, or with --json for programs; a second run has nothing to do."""
    out = tmp_path / "cache"
    assert prepare(data, out, "--json") == 0
    first = summary(capsys)
    assert (first["parts"], first["made"], first["kept"], first["torn"]) == (13, 13, 0, {})
    assert first["bytes"] == sum(path.stat().st_size for path in (out / "parts").iterdir())
    assert 600_000 < first["bytes"] / 13 < 800_000 < MAX_PART_BYTES
    assert prepare(data, out, "--json") == 0
    again = summary(capsys)
    assert (again["made"], again["kept"], again["bytes"]) == (0, 13, first["bytes"])
    assert prepare(data, out) == 0
    shown = capsys.readouterr()
    assert "13 parts; prepared they take at most 16 MB" in shown.err
    assert f"13, {first['bytes'] / 1e6:.1f} MB" in shown.out


def test_interrupted_run_is_resumed(data: Path, tmp_path: Path) -> None:
    """What was finished is kept, nothing half-written stays, and the rest is made."""
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
    """The file is named before any work; the next run prepares that part anew, and no other."""
    changed = data / "dome" / "test" / "good" / "xyz" / "000.tiff"
    xyz = tifffile.imread(changed)
    xyz[40:50, 40:50, 2] -= 0.01
    tifffile.imwrite(changed, xyz, photometric="rgb")
    assert evaluate(data, taught[1], "--prepared", cache) == 2
    said = capsys.readouterr().err
    assert f"{changed} is not the file that was prepared" in said
    assert "cmfm-worker prepare" in said
    assert prepare(data, cache, "--json") == 0
    renewed = summary(capsys)
    assert (renewed["renewed"], renewed["made"], renewed["kept"]) == (1, 1, 12)
    without = figures(data, taught[1], tmp_path / "a.json")
    assert figures(data, taught[1], tmp_path / "b.json", "--prepared", cache) == without


def test_parts_of_another_data_set_are_refused(
    data: Path, cache: Path, taught: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same names with other files behind them."""
    for path in data.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    assert evaluate(data, taught[1], "--prepared", cache) == 2
    assert "(and 3 more of 4)" in capsys.readouterr().err


def test_parts_that_are_not_there_are_named(
    data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither left out nor prepared on the quiet."""
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
        (["--plane-distance-m", 0.004], "plane_distance_m is 0.004, asked for is 0.005"),
        (["--clusters", "all"], "clusters is all, asked for is largest"),
        (["--background", "none"], "method is none, asked for is ransac"),
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
    """A recipe measured on frames that were cut out in another way would have other figures."""
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
        ("device", "cuda", "prepared on cuda, asked for is cpu"),
    ],
)
def test_other_preparation_is_refused_until_it_is_made_anew(
    data: Path,
    cache: Path,
    taught: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: str,
    said: str,
) -> None:
    """Another program, torch or device gives other bits; --force prepares every part again."""
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


def test_parts_under_a_replaced_manifest_are_not_taken_for_its_own(
    data: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A manifest that promises another background than the parts have convinces nobody."""
    table = read_json(cache / "manifest.json")
    table["key"]["background"]["plane_distance_m"] = 0.02
    (cache / "manifest.json").write_text(json.dumps(table))
    assert fit(data, cache.parent / "other", "--plane-distance-m", 0.02, "--prepared", cache) == 2
    assert "was prepared in another way" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "emptied", "swapped"])
def test_damaged_part_of_the_cache_is_named(
    data: Path, cache: Path, taught: tuple[Path, Path], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """A torn file, or one that is another part's, is refused; running `prepare` again mends it."""
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
    """A recipe with a fixed tray is measured from parts that were prepared with that tray."""
    recipe, cache = tmp_path / "dome", tmp_path / "cache"
    assert fit(data, recipe, "--background", "fixed") == 0
    assert prepare(data, cache, "--recipe", recipe, "--category", "dome") == 0
    without = figures(data, recipe, tmp_path / "a.json")
    assert figures(data, recipe, tmp_path / "b.json", "--prepared", cache) == without


def test_tray_cannot_be_taught_from_prepared_parts(
    data: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have lost it already."""
    assert fit(data, tmp_path / "dome", "--background", "fixed", "--prepared", cache) == 2
    assert "--prepared" in capsys.readouterr().err


def test_torn_part_is_named_by_whoever_meets_it(
    data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`prepare` ends with 2 and the rest done; `evaluate` counts it as without a cache; `fit` stops; mended it is
    prepared."""
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


def test_part_without_3d_is_prepared_as_such(data: Path, taught: tuple[Path, Path], tmp_path: Path) -> None:
    """It is not torn: the line would give it a FAULT, and so do figures from prepared parts."""
    bad = data / "dome" / "test" / "good" / "xyz" / "001.tiff"
    tifffile.imwrite(bad, np.zeros_like(tifffile.imread(bad)), photometric="rgb")
    assert prepare(data, tmp_path / "cache") == 0
    found = figures(data, taught[1], tmp_path / "b.json", "--prepared", tmp_path / "cache")
    assert list(found["not_inspected"]) == ["dome-test-good-001"]
    assert found["verdicts"]["FAULT"] == 1


def test_what_is_no_cache_is_refused(
    data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither read as one nor written over."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "notes.txt").write_text("mine")
    assert prepare(data, tmp_path / "precious", "--force") == 2
    assert "not touched" in capsys.readouterr().err
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
    """Exit code 2, and no folder is left behind."""
    assert prepare(data, tmp_path / "cache", *arguments) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_missing_ground_truth_is_found_first(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours of preparing would end in a refusal."""
    (data / "dome" / "test" / "stain" / "gt" / "001.png").unlink()
    assert prepare(data, tmp_path / "cache") == 2
    assert "gt/001.png is missing" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
