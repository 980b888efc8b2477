"""`cmfm-worker fit` teaches a recipe from good parts and refuses unsuitable ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests.unit.made.dataset import fit, frame, read_json, run, write_dataset, write_part

from cmfm_records.recipe_versions import read_versions
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import load_recipe
from cmfm_worker.recipes.versions import this_user
from cmfm_worker.teaching.options import TeachOptions, fit_options


@pytest.fixture
def data(taught: tuple[Path, Path]) -> Path:
    """A data set that no test changes."""
    return taught[0]


def test_recipe_says_what_it_was_taught_from(taught: tuple[Path, Path]) -> None:
    """The recipe records its data: parts, scores, the supported rate and coverage, but no paths of this machine."""
    root, folder = taught
    recipe = load_recipe(folder).recipe
    assert recipe.name == "dome"
    assert recipe.threshold is not None
    assert recipe.threshold.validation_parts == len(recipe.threshold.validation_scores) == 5
    assert recipe.threshold.supported_false_reject_rate == pytest.approx(1 / 6)
    assert recipe.threshold.fail_at > max(recipe.threshold.validation_scores)
    assert recipe.coverage.nominal_median_px is not None
    assert 0.5 < recipe.coverage.minimum < 0.95
    assert (recipe.provenance.dataset, recipe.provenance.category) == (root.name, "dome")
    assert recipe.provenance.train_parts == 4
    assert (recipe.frame.height_px, recipe.frame.width_px) == (96, 96)
    assert recipe.frame.distance_m == pytest.approx(0.5, abs=0.05)
    assert recipe.frame.distance_tolerance_m == pytest.approx(0.05, abs=0.01)
    assert str(root) not in (folder / "recipe.toml").read_text()
    assert len(recipe.coverage.nominal) == 4 + 5
    assert min(recipe.coverage.nominal) >= recipe.coverage.minimum
    (version,) = read_versions(folder)
    assert (version.by, version.why, version.fail_at) == (this_user(), "taught", recipe.threshold.fail_at)


def test_summary_names_the_smallest_supported_rate(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary says that five parts support a false-reject rate of 1/6 and none below."""
    assert fit(data, tmp_path / "dome") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "about 1 of 6 good parts will be rejected (16.7 %; 95 % interval" in shown
    assert "from 5 nominal parts, which support no lower rate)" in shown
    assert "4 parts" in shown
    assert "96×96 pixels, 0." in shown


def test_tray_is_taught_and_parts_on_another_one_are_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--background fixed stores the tray's plane half a metre away; a part recorded 5 mm nearer is refused by name."""
    assert fit(data, tmp_path / "dome", "--background", "fixed") == 0
    recipe = load_recipe(tmp_path / "dome").recipe
    assert recipe.background.method == "fixed"
    assert recipe.background.plane == pytest.approx((0, 0, -1, 0.5), abs=2e-3)
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    rgb, xyz = frame(77)
    write_part(moved / "dome" / "train" / "good", "900", rgb, xyz - np.array([0, 0, 0.005], np.float32))
    capsys.readouterr()
    assert fit(moved, tmp_path / "other", "--background", "fixed") == 2
    assert "900 (5.0 mm)" in " ".join(capsys.readouterr().err.split())


def test_json_summary_is_for_programs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json stdout is one JSON object; progress and remarks are on stderr."""
    assert fit(data, tmp_path / "dome", "--json", "--shots", 2, "--calib-id", "cal-1") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["train_parts"] == 2
    assert summary["epochs"] == 3
    assert summary["threshold"]["validation_parts"] == 5
    recipe = load_recipe(tmp_path / "dome")
    assert summary["model_sha"] == recipe.model_sha
    assert recipe.recipe.calibration.id == "cal-1"  # which the line compares
    assert (summary["smoothing_px"], summary["highest_px"]) == (2.5, share_of(summary["coverage"]))


def test_same_seed_same_recipe(data: Path, tmp_path: Path) -> None:
    """The same parts, options and seed teach the same networks and threshold; another seed teaches others."""
    shas = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert fit(data, tmp_path / name, "--seed", seed, "--shots", 2) == 0
        shas.append(load_recipe(tmp_path / name).model_sha)
    assert shas[0] == shas[1] != shas[2]


def test_without_validation_some_training_parts_are_held_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a validation split the threshold comes from training parts that were not fitted on, with a remark."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    shutil.rmtree(root / "dome" / "validation")
    assert fit(root, tmp_path / "dome") == 0
    assert "1 training parts are held out" in capsys.readouterr().err
    recipe = load_recipe(tmp_path / "dome").recipe
    assert recipe.provenance.train_parts == 3
    assert recipe.threshold is not None
    assert recipe.threshold.validation_parts == 1


def test_all_pieces_of_a_product_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A product of two pieces keeps both, with a remark; --clusters largest keeps only one."""
    for split, count in (("train", 3), ("validation", 2)):
        for i in range(count):
            write_part(tmp_path / "dome" / split / "good", f"{i:03d}", *pair_of_domes(i))
    assert fit(tmp_path, tmp_path / "both") == 0
    assert "several pieces; all are kept" in capsys.readouterr().err
    assert fit(tmp_path, tmp_path / "one", "--clusters", "largest") == 0
    assert "pieces" not in capsys.readouterr().err
    both, one = (load_recipe(tmp_path / name).recipe for name in ("both", "one"))
    assert (both.background.clusters, one.background.clusters) == ("all", "largest")
    assert both.coverage.nominal_median_px is not None
    assert one.coverage.nominal_median_px is not None
    assert both.coverage.nominal_median_px > 1.3 * one.coverage.nominal_median_px


def pair_of_domes(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The left half of one frame's dome beside the left half of another's, two strips of tray between them."""
    (rgb, xyz), (other_rgb, other_xyz) = frame(2 * seed), frame(2 * seed + 1)
    half = rgb.shape[1] // 2
    other_xyz = other_xyz + np.array([0.1, 0.0, 0.0], np.float32)
    return (
        np.concatenate([rgb[:, : half - 8], other_rgb[:, : half + 8]], axis=1),
        np.concatenate([xyz[:, : half - 8], other_xyz[:, : half + 8]], axis=1),
    )


@pytest.mark.parametrize("mapping", ["mlp_encoder_decoder", "conv_encoder_decoder"])
def test_variants_of_the_paper_are_taught_evaluated_and_inspected(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mapping: str
) -> None:
    """`fit` takes architecture, modality and aggregation; the other commands take them from the recipe."""
    recipe = tmp_path / "dome"
    how = ["--mapping", mapping, "--modality", "intra", "--aggregation", "max", "--epochs", 1, "--shots", 2]
    assert fit(data, recipe, *how, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    taught = load_recipe(recipe)
    assert (taught.mapping.architecture, taught.mapping.modality) == (mapping, "intra")
    assert (summary["architecture"], summary["modality"], summary["aggregation"]) == (mapping, "intra", "max")
    assert taught.recipe.score.aggregation == "max"
    assert taught.recipe.threshold is not None
    figures = tmp_path / "figures.json"
    where = ["--root", data, "--category", "dome"]
    assert run("evaluate", "--recipe", recipe, *where, "--json", figures) == 0
    assert read_json(figures)["frames"] == 4
    part = data / "dome" / "validation" / "good"
    files = ["--rgb", part / "rgb" / "000.png", "--xyz", part / "xyz" / "000.tiff"]
    assert run("inspect", "--recipe", recipe, *files, "--out", tmp_path / "look") == 0
    found = read_json(tmp_path / "look" / "result.json")
    assert found["score"] == pytest.approx(taught.recipe.threshold.validation_scores[0], rel=1e-4)


def share_of(coverage: dict[str, Any]) -> int:
    """2 % of the nominal part."""
    return round(0.02 * int(coverage["nominal_median_px"]))


def test_scoring_is_the_presets_by_default(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recipe and summary state the smoothing of Ψ and the pixels in the score: the preset's, or those given."""
    assert fit(data, tmp_path / "usual") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert fit(data, tmp_path / "papers", "--smoothing-px", 4, "--highest-px", 1) == 0
    usual, papers = (load_recipe(tmp_path / name).recipe for name in ("usual", "papers"))
    highest_px = share_of(usual.coverage.model_dump())
    assert (usual.score.smoothing_px, usual.score.highest_px) == (2.5, highest_px)
    assert "σ = 2.5 pixels" in shown
    assert f"mean of the {highest_px} highest pixels of Ψ" in shown
    assert (papers.score.smoothing_px, papers.score.highest_px) == (4.0, 1)
    assert usual.threshold is not None
    nominal = [*usual.threshold.validation_scores, *usual.threshold.out_of_fold_scores]
    assert usual.score.compress_from == pytest.approx(2.5 * median(nominal), rel=1e-6)
    assert usual.mapping.sha256 == papers.mapping.sha256
    assert usual.threshold != papers.threshold


def test_numbers_of_the_fit_can_be_replaced() -> None:
    """Images a step and pixels an image are the preset's unless given; an option without effect is refused by name."""
    options = TeachOptions(dataset="data", category="dome", architecture="mlp_encoder_decoder")
    usual = fit_options("paper", options)
    assert (usual.batch_images, usual.pixels_per_image) == (4, None)
    given = fit_options("paper", replace(options, batch_images=1, pixels_per_image=77))
    assert (given.batch_images, given.pixels_per_image, given.epochs) == (1, 77, 250)
    convolutions = replace(options, architecture="conv_encoder_decoder", pixels_per_image=77)
    with pytest.raises(InputError, match=r"pixels_per_image: conv_encoder_decoder"):
        fit_options("classic", convolutions)
    with pytest.raises(InputError, match=r"batch_images must be at least 1"):
        fit_options("classic", replace(options, batch_images=0))


def test_default_distance_follows_the_preset() -> None:
    """`classic` uses a metric, but not with convolutions or within a modality; `paper` uses Eq. 3."""
    asked = TeachOptions(dataset="d", category="c")
    chosen = {
        "classic": fit_options("classic", asked),
        "convolutions": fit_options("classic", replace(asked, architecture="conv_encoder_decoder")),
        "intra": fit_options("classic", replace(asked, modality="intra")),
        "standardised": fit_options("classic", replace(asked, distance="standardised")),
        "angular": fit_options("classic", replace(asked, distance="angular")),
        "paper": fit_options("paper", asked),
    }
    assert {name for name, options in chosen.items() if options.metric} == {"classic"}
    assert {name for name, options in chosen.items() if not options.spread} == {"angular", "paper"}
    with pytest.raises(InputError, match="whole maps"):
        fit_options("classic", replace(asked, distance="metric", architecture="conv_encoder_decoder"))
    with pytest.raises(InputError, match="both modalities"):
        fit_options("classic", replace(asked, distance="metric", modality="intra"))


def test_rate_that_the_parts_cannot_support_is_refused_at_once(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 % with five parts is refused with the number of parts it needs; nothing is written."""
    assert fit(data, tmp_path / "dome", "--target-false-reject-rate", 0.01) == 2
    message = capsys.readouterr().err
    assert "99" in message
    assert "the 5 found" in message
    assert not (tmp_path / "dome").exists()


def test_recipe_is_replaced_only_with_force(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second fit into the same folder is refused before any work; --force replaces the recipe."""
    assert fit(data, tmp_path / "dome") == 0
    before = load_recipe(tmp_path / "dome").model_sha
    assert fit(data, tmp_path / "dome", "--seed", 9) == 2
    assert "--force" in capsys.readouterr().err
    assert load_recipe(tmp_path / "dome").model_sha == before
    assert run("recipe", "drift", "dome", "--recipes", tmp_path, "--act", "undecided") == 0
    assert fit(data, tmp_path / "dome", "--seed", 9, "--force") == 0
    replaced = load_recipe(tmp_path / "dome")
    assert replaced.model_sha != before
    assert replaced.recipe.drift.act == "undecided"
    assert "act = undecided" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--shots", 5], ["--shots 5", "only 4"]),
        (["--category", "bagel"], ["bagel", "dome"]),
        (["--root", "/nowhere"], ["/nowhere"]),
        (["--extractors", "paper"], ["--weights"]),
        (["--blocks", 7], ["--blocks"]),
        (["--device", "gpu"], ["--device"]),
        (["--target-false-reject-rate", 1.5], ["--target-false-reject-rate"]),
        (["--plane-distance-m", 0], ["plane_distance_m"]),
        (["--mapping", "transformer"], ["--mapping", "conv_encoder_decoder"]),
        (["--modality", "both"], ["--modality", "intra"]),
        (["--aggregation", "mean"], ["--aggregation", "product"]),
        (["--smoothing-px", 0.1], ["--smoothing-px", "0.5"]),
        (["--highest-px", 0], ["--highest-px"]),
    ],
)
def test_wrong_option_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[object], named: list[str]
) -> None:
    """Each wrong option gives exit code 2 and a message that names it and the expected values."""
    assert fit(data, tmp_path / "dome", *arguments) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    for text in named:
        assert text in message
    assert not (tmp_path / "dome").exists()


def test_damaged_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A truncated TIFF gives exit code 2 and a message that names it."""
    root = write_dataset(tmp_path / "data")
    torn = root / "dome" / "train" / "good" / "xyz" / "002.tiff"
    torn.write_bytes(torn.read_bytes()[:1000])
    assert fit(root, tmp_path / "dome") == 2
    message = capsys.readouterr().err
    assert str(torn) in message
    assert "Traceback" not in message


@pytest.mark.parametrize("split", ["train", "validation"])
def test_parts_without_3d_are_all_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    """All good parts that cannot be inspected are named at once, and no recipe is made from the others."""
    root = write_dataset(tmp_path / "data")
    good = root / "dome" / split / "good"
    for name in ("001", "003"):
        xyz = tifffile.imread(good / "xyz" / f"{name}.tiff")
        tifffile.imwrite(good / "xyz" / f"{name}.tiff", np.full_like(xyz, np.nan), photometric="rgb")
    assert fit(root, tmp_path / "dome") == 2
    message = capsys.readouterr().err
    assert f"dome-{split}-good-001" in message
    assert f"dome-{split}-good-003" in message
    assert f"dome-{split}-good-002" not in message
    assert not (tmp_path / "dome").exists()


def test_frames_of_different_sizes_teach_together(tmp_path: Path) -> None:
    """Parts recorded in different sizes can be taught together."""
    root = write_dataset(tmp_path / "data", train=2)
    good = root / "dome" / "train" / "good"
    rgb, xyz = (np.zeros((80, 64, 3), np.uint8) + 90), np.full((80, 64, 3), np.nan, np.float32)
    xyz[20:60, 10:50] = tifffile.imread(good / "xyz" / "000.tiff")[28:68, 28:68]
    write_part(good, "100", rgb, xyz)
    assert fit(root, tmp_path / "dome", "--background", "none") == 0
    assert load_recipe(tmp_path / "dome").recipe.provenance.train_parts == 3


def test_help_is_for_newcomers(capsys: pytest.CaptureFixture[str]) -> None:
    """`fit --help` names the folders that it reads and says that it sets the threshold."""
    assert run("fit", "--help") == 0
    shown = capsys.readouterr().out
    assert "train/good" in shown
    assert "threshold" in shown
