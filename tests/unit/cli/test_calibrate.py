"""`cmfm-worker calibrate` sets new limits of a recipe, reports on labelled parts, and refuses unsuitable parts."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import tomli_w
import torch
from PIL import Image
from tests.unit.made.dataset import fit, frame, read_json, run, write_part
from tests.unit.made.recipes import saved

from cmfm_protocol.pictures.panels import VERDICT_COLOURS
from cmfm_records.recipe_versions import read_versions
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import inspector_maker
from cmfm_worker.recipes.folder import copy_recipe, replace_recipe_file
from cmfm_worker.recipes.recipe import Recipe, load_recipe, read_recipe_file
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.recipes.versions import this_user
from cmfm_worker.settings.sections.compute import RecipesSection


def calibrate(recipe: Path, *more: object) -> int:
    return run("calibrate", "--recipe", recipe, "--simulated-defects", 0, *more)


@pytest.fixture
def recipe(taught: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the taught recipe that the test may change."""
    return Path(shutil.copytree(taught[1], tmp_path / "dome"))


@pytest.fixture
def data(taught: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the data set that the test may change."""
    return Path(shutil.copytree(taught[0], tmp_path / "data"))


@pytest.fixture
def split(taught: tuple[Path, Path]) -> list[object]:
    """Return the options that name the data set's own validation split."""
    return ["--root", taught[0], "--category", "dome"]


def without_limits(recipe: Recipe) -> dict[str, object]:
    return recipe.model_dump(exclude={"threshold", "coverage", "limits"})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_in_place_only_the_limits_change(recipe: Path, split: list[object]) -> None:
    """The mapping's bytes and the model's id stay; recipe.toml records when and from which parts its limits come."""
    before, mapping = load_recipe(recipe), (recipe / "mapping.safetensors").read_bytes()
    assert calibrate(recipe, *split, "--target-false-reject-rate", 0.4, "--grey-rate", 0.2, "--force") == 0
    after = load_recipe(recipe)
    assert (recipe / "mapping.safetensors").read_bytes() == mapping
    assert after.model_sha == before.model_sha
    assert after.recipe_sha != before.recipe_sha
    assert without_limits(after.recipe) == without_limits(before.recipe)
    assert before.recipe.threshold is not None
    limits, scores = after.recipe.threshold, sorted(before.recipe.threshold.validation_scores)
    assert limits is not None
    assert limits.grey_from is not None
    assert limits.origin is not None
    # of 6 parts 2.4 may FAIL and 1.2 more be UNDECIDED: the 4th and the 3rd of 5 scores still do not
    assert limits.fail_at == pytest.approx(scores[3], rel=1e-4)
    assert limits.grey_from == pytest.approx(scores[2], rel=1e-4)
    assert limits.origin.parts == "data/dome/validation"
    assert (limits.origin.fail_at, limits.origin.grey_from) == ("conformal", "conformal")
    assert str(recipe.parent) not in (recipe / "recipe.toml").read_text()
    assert len(after.recipe.coverage.nominal) == len(limits.validation_scores) == 5
    assert sorted(after.recipe.coverage.nominal)[2] == pytest.approx(1.0, abs=0.1)
    assert [(version.by, version.why) for version in read_versions(recipe)][1:] == [
        (this_user(), "calibrated")
    ]
    assert read_versions(recipe)[0].recipe_sha == before.recipe_sha
    assert sorted(path.name for path in recipe.iterdir()) == ["mapping.safetensors", "recipe.toml", "report"]


def test_limits_of_parts_are_set_again_and_reasons_stay_off(recipe: Path, split: list[object]) -> None:
    """All limits come from the parts of the calibration; what a person switched off stays off, as the table says."""
    path = recipe / "recipe.toml"
    text = path.read_text()
    path.write_text(text.replace("off = []", 'off = ["unlike_taught"]').replace("edge_px = ", "edge_px = 1"))
    before = read_recipe_file(recipe).limits
    assert before.off == ("unlike_taught",)
    assert calibrate(recipe, *split, "--force") == 0
    after = read_recipe_file(recipe)
    assert after.limits.off == ("unlike_taught",)
    assert (after.limits.nominal_parts, before.nominal_parts) == (5, 9)
    assert before.edge_px is not None
    assert after.limits.edge_px is not None
    assert after.limits.edge_px < before.edge_px
    assert after.coverage.maximum is not None
    assert after.limits.level is not None


def test_a_recipe_without_a_frame_gets_that_of_the_nominal_parts(
    recipe: Path, split: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """An imported recipe has neither size nor distance; what a recipe states already stays as it is."""
    path = recipe / "recipe.toml"
    table = tomllib.loads(path.read_text())
    taught = read_recipe_file(recipe).frame
    table["frame"] = {"distance_m": 0.52, "distance_tolerance_m": 0.3}
    path.write_text(tomli_w.dumps(table))
    assert calibrate(recipe, *split, "--force", "--no-labelled") == 0
    frame = read_recipe_file(recipe).frame
    assert (frame.height_px, frame.width_px) == (taught.height_px, taught.width_px) == (96, 96)
    assert (frame.distance_m, frame.distance_tolerance_m) == (0.52, 0.3)
    assert "any size, 0.52 ± 0.3 m away → 96×96 pixels, 0.52 ± 0.3 m away" in capsys.readouterr().out
    del table["frame"]
    path.write_text(tomli_w.dumps(table))
    assert calibrate(recipe, *split, "--force", "--no-labelled") == 0
    assert read_recipe_file(recipe).frame.distance_m == pytest.approx(0.5, abs=0.05)


def test_same_parts_as_fit_same_threshold(recipe: Path, split: list[object]) -> None:
    """With the validation parts of `fit` and no option, the threshold is that of `fit`."""
    before = read_recipe_file(recipe)
    assert calibrate(recipe, *split, "--force") == 0
    after = read_recipe_file(recipe)
    assert before.threshold is not None
    assert after.threshold is not None
    assert after.threshold.fail_at == pytest.approx(before.threshold.fail_at, rel=1e-5)
    assert after.coverage.nominal_median_px == before.coverage.nominal_median_px
    assert after.coverage.minimum == pytest.approx(before.coverage.minimum, abs=0.05)


def test_calibration_of_the_camera_is_kept_changed_or_taken_out(recipe: Path, split: list[object]) -> None:
    """`--calib-id` says which frames the recipe is for. Without it the recipe keeps its own; "" accepts every frame."""
    for option, expected in (
        ((), ""),
        (("--calib-id", "cal-2"), "cal-2"),
        ((), "cal-2"),
        (("--calib-id", ""), ""),
    ):
        assert calibrate(recipe, *split, "--no-labelled", "--force", *option) == 0
        assert read_recipe_file(recipe).calibration.id == expected


def test_calibration_that_no_frame_can_carry_is_refused(
    recipe: Path, split: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """An id longer than a header's text would make every part UNDECIDED."""
    before = files(recipe)
    assert calibrate(recipe, *split, "--force", "--calib-id", "x" * 257) == 2
    assert "--calib-id: id: no frame can carry it" in capsys.readouterr().err
    assert files(recipe) == before


def test_dry_run_writes_no_recipe(
    recipe: Path, split: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--dry-run shows the limits and writes nothing, not even with --force."""
    before = files(tmp_path)
    assert calibrate(recipe, *split, "--dry-run", "--force", "--target-false-reject-rate", 0.5) == 0
    assert files(tmp_path) == before
    out, err = capsys.readouterr()
    assert "FAIL from" in out
    assert "no recipe written" in err


def test_replacing_needs_force(recipe: Path, split: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """Without --force, --out or --dry-run the recipe is unchanged, and the message names all three."""
    before = files(recipe)
    assert calibrate(recipe, *split) == 2
    message = capsys.readouterr().err
    assert all(option in message for option in ("--force", "--out", "--dry-run"))
    assert files(recipe) == before


def test_another_recipe_with_the_same_networks(recipe: Path, split: list[object], tmp_path: Path) -> None:
    """--out leaves the recipe unchanged and writes one with the folder's name and the same mapping, byte for byte."""
    before = files(recipe)
    assert calibrate(recipe, *split, "--out", tmp_path / "strict", "--fail-at", 0.001) == 0
    assert files(recipe) == before
    made = load_recipe(tmp_path / "strict")
    assert (made.recipe.name, made.model_sha) == ("strict", load_recipe(recipe).model_sha)
    assert (tmp_path / "strict" / "mapping.safetensors").read_bytes() == before[
        str(recipe / "mapping.safetensors")
    ]
    assert calibrate(recipe, *split, "--out", tmp_path / "strict") == 2


def test_labelled_parts_are_judged_as_evaluate_judges_them(
    recipe: Path, taught: tuple[Path, Path], split: list[object], tmp_path: Path
) -> None:
    """Escapes, false rejects and verdicts of the JSON are those of `evaluate` with the recipe that was written."""
    scores = read_recipe_file(recipe).threshold
    assert scores is not None
    middle = sorted(scores.validation_scores)[2]
    limits = ["--fail-at", 3 * middle, "--grey-from", middle]
    assert calibrate(recipe, *split, *limits, "--force", "--json", tmp_path / "calibrated.json") == 0
    assert run("evaluate", "--recipe", recipe, *split, "--json", tmp_path / "evaluated.json") == 0
    shown, judged = read_json(tmp_path / "calibrated.json"), read_json(tmp_path / "evaluated.json")
    kinds = shown["labelled"]["kinds"]
    assert {kind: tally["parts"] for kind, tally in kinds.items()} == {"good": 2, "stain": 2}
    assert kinds["stain"]["escapes"]["count"] == judged["escapes"]
    assert kinds["good"]["false_rejects"]["count"] == judged["false_rejects"]
    for verdict, count in judged["verdicts"].items():
        assert sum(tally["verdicts"][verdict] for tally in kinds.values()) == count
    assert kinds["stain"]["escapes"]["high"] > 0.5  # two parts say next to nothing
    assert shown["model_sha"] == judged["model_sha"]
    assert shown["written"] == load_recipe(recipe).recipe_sha


def test_labelled_parts_decide_nothing(recipe: Path, split: list[object], tmp_path: Path) -> None:
    """The limits are the same with and without a labelled set. The curve has the rate asked for and its threshold,
    and no second row for it."""
    found = []
    for option in ("--labelled", "--no-labelled"):
        more = ["--dry-run", "--target-false-reject-rate", 0.25, "--json", tmp_path / "f.json", option]
        assert calibrate(recipe, *split, *more) == 0
        found.append(read_json(tmp_path / "f.json"))
    with_labels, without = found
    assert without["labelled"] is None
    for one in found:
        del one["threshold"]["origin"]["set_at"]
    assert with_labels["threshold"] == without["threshold"]
    points = with_labels["labelled"]["curve"]
    assert [point["false_reject_rate"] for point in points] == pytest.approx([0.25, 2 / 6, 3 / 6])
    assert [point["fail_at"] for point in points if point["asked"]] == [with_labels["threshold"]["fail_at"]]
    escapes = [point["escapes"]["count"] for point in points]
    assert escapes == sorted(escapes, reverse=True)
    rejects = [point["false_rejects"]["count"] for point in points]
    assert rejects == sorted(rejects)


def test_threshold_given_is_measured_on_the_nominal_parts(
    recipe: Path, split: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --fail-at the report counts the nominal parts that reach it, with an interval, and the recipe records that
    it was given."""
    threshold = read_recipe_file(recipe).threshold
    assert threshold is not None
    highest = max(threshold.validation_scores)
    more = ["--fail-at", highest * 0.999, "--force", "--json", tmp_path / "f.json"]
    assert calibrate(recipe, *split, *more) == 0
    figures = read_json(tmp_path / "f.json")
    failed = figures["nominal"]["fail"]
    assert (failed["count"], failed["of"]) == (1, 5)
    assert (failed["low"], failed["high"]) == pytest.approx((0.00505, 0.71642), abs=1e-4)
    assert figures["nominal"]["unlucky_false_reject_rate"] is None
    assert figures["threshold"]["origin"]["fail_at"] == "given"
    assert "1 of 5 nominal parts: 20.0%" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_nominal_parts_from_a_folder(recipe: Path, tmp_path: Path) -> None:
    """A folder with rgb/ and xyz/ sets the limits; the recipe records its name, not its path."""
    for i in range(12):
        write_part(tmp_path / "good-lot-7", f"{i:02d}", *frame(300 + i))
    assert calibrate(recipe, "--nominal", tmp_path / "good-lot-7", "--force") == 0
    threshold = read_recipe_file(recipe).threshold
    assert threshold is not None
    assert threshold.origin is not None
    assert (threshold.validation_parts, threshold.origin.parts) == (12, "good-lot-7")
    assert (threshold.method, threshold.target_false_reject_rate) == ("tail", 0.05)
    assert str(tmp_path) not in (recipe / "recipe.toml").read_text()


def test_duplicated_pictures_are_reported(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A remark counts the parts of a folder that are copies of another one."""
    for name, seed in (("a", 300), ("b", 301), ("c", 300)):
        write_part(tmp_path / "lot", name, *frame(seed))
    assert calibrate(recipe, "--nominal", tmp_path / "lot", "--dry-run", "--batch", 1) == 0
    assert "1 of 3 nominal parts have exactly the score of another one" in capsys.readouterr().err


def test_only_training_parts_that_the_fit_left_out_are_used(
    taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the training split those that `fit` left out set the limits. If it used all, that is refused with the way
    out."""
    root, all_taught = taught
    assert fit(root, tmp_path / "few", "--shots", 1, "--seed", 3) == 0
    split = ["--root", root, "--category", "dome", "--split", "train"]
    assert calibrate(tmp_path / "few", *split, "--force", "--json", tmp_path / "f.json") == 0
    assert read_json(tmp_path / "f.json")["nominal"]["parts"] == 3
    assert calibrate(all_taught, *split, "--dry-run") == 2
    message = capsys.readouterr().err
    assert "fitted on all 4" in message
    assert "--nominal" in message


def test_training_parts_that_have_changed_since(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If training parts were added or removed since the fit, those fitted on cannot be determined: refused."""
    assert fit(data, tmp_path / "few", "--shots", 4) == 0
    (data / "dome" / "train" / "good" / "rgb" / "003.png").unlink()
    (data / "dome" / "train" / "good" / "xyz" / "003.tiff").unlink()
    split = ["--root", data, "--category", "dome", "--split", "train"]
    assert calibrate(tmp_path / "few", *split, "--dry-run") == 2
    assert "cannot be determined" in capsys.readouterr().err


def test_parts_of_another_category_are_remarked_on(
    recipe: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts of a category that the recipe was not taught on are used, with a remark."""
    (data / "dome").rename(data / "cupola")
    assert calibrate(recipe, "--root", data, "--category", "cupola", "--dry-run") == 0
    assert "taught on 'dome', these parts are of 'cupola'" in capsys.readouterr().err


def test_removed_grey_band_is_reported(
    recipe: Path, split: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """A calibration without a grey band remarks on it if the recipe had one."""
    assert calibrate(recipe, *split, "--grey-rate", 0.2, "--force") == 0
    assert "grey band" not in capsys.readouterr().err
    assert calibrate(recipe, *split, "--force") == 0
    assert "had a grey band" in capsys.readouterr().err


def test_picture_shows_scores_and_limits(recipe: Path, split: list[object], tmp_path: Path) -> None:
    """The picture is a PNG with the colours of all three verdicts."""
    more = ["--dry-run", "--grey-rate", 0.4, "--picture", tmp_path / "scores.png"]
    assert calibrate(recipe, *split, *more) == 0
    pixels = np.asarray(Image.open(tmp_path / "scores.png"))
    for verdict in ("PASS", "UNDECIDED", "FAIL"):
        assert (pixels == VERDICT_COLOURS[verdict]).all(-1).sum() > 100


REFUSED: list[tuple[list[object], list[str]]] = [
    (["--target-false-reject-rate", 0.01], ["needs 99", "the 5 found"]),
    (["--grey-rate", 0.01], ["--grey-rate 0.01", "0.166667"]),
    (["--target-false-reject-rate", 1.0], ["--target-false-reject-rate", "between 0 and 1"]),
    (["--fail-at", "nan"], ["--fail-at", "finite"]),
    (["--fail-at", 1, "--target-false-reject-rate", 0.3], ["--fail-at", "--target-false-reject-rate"]),
    (["--fail-at", 1, "--grey-rate", 0.3], ["--grey-rate", "--grey-from"]),
    (["--fail-at", 1, "--grey-from", 2], ["--grey-from", "below"]),
    (["--grey-from", 1, "--grey-rate", 0.3], ["--grey-from", "--grey-rate"]),
    (["--grey-from", 1e9], ["grey band would be empty"]),
    (["--minimum-coverage", 1.5], ["--minimum-coverage"]),
    (["--category", "bagel"], ["bagel", "dome"]),
    (["--json", "/nowhere/f.json"], ["/nowhere/f.json", "folder"]),
    (["--nominal", "/nowhere"], ["/nowhere"]),
    (["--out", "a recipe"], ["a recipe", "A-Z"]),
]


@pytest.mark.parametrize(("arguments", "named"), REFUSED)
def test_wrong_option_is_named(
    taught: tuple[Path, Path],
    split: list[object],
    capsys: pytest.CaptureFixture[str],
    arguments: list[object],
    named: list[str],
) -> None:
    """Each wrong option gives exit code 2 and a message that names it; the recipe is unchanged."""
    before = files(taught[1])
    assert calibrate(taught[1], *split, "--force", *arguments) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    for text in named:
        assert text in message
    assert files(taught[1]) == before


def test_without_parts_both_sources_are_named(
    taught: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without nominal parts the message names both options for them; --labelled needs a category."""
    assert calibrate(taught[1], "--dry-run") == 2
    message = capsys.readouterr().err
    assert "--category" in message
    assert "--nominal" in message
    assert calibrate(taught[1], "--nominal", taught[0] / "dome" / "train" / "good", "--labelled") == 2
    assert "--labelled" in capsys.readouterr().err


def test_no_validation_split(recipe: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A category without a validation split is refused; the message names both alternatives."""
    shutil.rmtree(data / "dome" / "validation")
    assert calibrate(recipe, "--root", data, "--category", "dome", "--dry-run") == 2
    message = capsys.readouterr().err
    assert "--nominal" in message
    assert "--split train" in message


def test_damaged_parts_are_all_named_before_anything_is_inspected(
    recipe: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged nominal part and a damaged labelled one are named together, before any part is inspected."""
    torn = [
        data / "dome" / "validation" / "good" / "xyz" / "001.tiff",
        data / "dome" / "test" / "stain" / "rgb" / "000.png",
    ]
    for file in torn:
        file.write_bytes(file.read_bytes()[:500])
    assert calibrate(recipe, "--root", data, "--category", "dome", "--dry-run") == 2
    message = capsys.readouterr().err
    assert all(str(file) in message for file in torn)
    assert "reading" in message
    assert "nominal parts" not in message, "the bar of the first stage that inspects"


def without_3d(file: Path) -> None:
    tifffile.imwrite(file, np.zeros_like(tifffile.imread(file)), photometric="rgb")


def test_nominal_parts_without_3d_are_all_named(
    recipe: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nominal parts that the line could not inspect are refused by name; the others set no limits."""
    before = files(recipe)
    for name in ("001", "003"):
        without_3d(data / "dome" / "validation" / "good" / "xyz" / f"{name}.tiff")
    assert calibrate(recipe, "--root", data, "--category", "dome", "--force") == 2
    message = capsys.readouterr().err
    assert "dome-validation-good-001" in message
    assert "dome-validation-good-003" in message
    assert "dome-validation-good-002" not in message
    assert files(recipe) == before


def test_labelled_part_without_3d_is_a_fault(recipe: Path, data: Path, tmp_path: Path) -> None:
    """A labelled part that the line could not inspect is named and counted as a FAULT, which is a false reject."""
    without_3d(data / "dome" / "test" / "good" / "xyz" / "001.tiff")
    options = ["--dry-run", "--json", tmp_path / "f.json"]
    assert calibrate(recipe, "--root", data, "--category", "dome", *options) == 0
    labelled = read_json(tmp_path / "f.json")["labelled"]
    assert list(labelled["not_inspected"]) == ["dome-test-good-001"]
    assert labelled["kinds"]["good"]["verdicts"]["FAULT"] == 1
    assert labelled["kinds"]["good"]["false_rejects"]["count"] >= 1


def test_broken_recipes_are_refused(
    recipe: Path, split: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """A recipe of another extractor and one without its mapping are refused by name."""
    file = recipe / "recipe.toml"
    text = file.read_text()
    version = tomllib.loads(text)["extractor"]["version"]
    file.write_text(text.replace(f'version = "{version}"', 'version = "0"'))
    assert calibrate(recipe, *split, "--force") == 2
    assert "extractor.version" in capsys.readouterr().err
    file.write_text(text)
    (recipe / "mapping.safetensors").unlink()
    assert calibrate(recipe, *split, "--force") == 2
    assert "mapping.safetensors" in capsys.readouterr().err


def test_recipe_that_has_changed_since_it_was_read(tmp_path: Path) -> None:
    """A recipe.toml or a mapping that has changed since it was read is neither overwritten nor copied."""
    saved(tmp_path / "part")
    loaded = load_recipe(tmp_path / "part")
    saved(tmp_path / "other", seed=1)
    for name in ("recipe.toml", "mapping.safetensors"):
        shutil.copy(tmp_path / "other" / name, tmp_path / "part" / name)
    with pytest.raises(InputError, match="has changed since it was read"):
        replace_recipe_file(loaded.folder, loaded.recipe_sha, loaded.recipe)
    with pytest.raises(InputError, match="has changed since it was read"):
        copy_recipe(loaded, loaded.recipe, tmp_path / "third")
    assert load_recipe(tmp_path / "part").model_sha == load_recipe(tmp_path / "other").model_sha
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "part"]


def test_recipe_without_limits_becomes_one_that_the_line_accepts(recipe: Path, split: list[object]) -> None:
    """The line refuses a recipe without threshold and nominal part size, as `import` makes it, and loads it once it is
    calibrated."""
    path = recipe / "recipe.toml"
    table = tomllib.loads(path.read_text())
    del table["threshold"], table["coverage"]
    path.write_text(tomli_w.dumps(table))
    registry = RecipeRegistry(
        RecipesSection(folder=recipe.parent),
        make_inspector=inspector_maker(None, torch.device("cpu")),
        device=torch.device("cpu"),
    )
    with pytest.raises(InputError, match="cmfm-worker calibrate"):
        registry.load(recipe.name)
    assert calibrate(recipe, *split, "--force") == 0
    calibrated = registry.load(recipe.name).model.recipe
    assert calibrated.threshold is not None
    assert calibrated.threshold.fail_at > max(calibrated.threshold.validation_scores)
    assert calibrated.coverage.nominal_median_px is not None
    assert calibrated.coverage.minimum > 0.5


def test_help_is_for_newcomers(capsys: pytest.CaptureFixture[str]) -> None:
    """`calibrate --help` says that good parts set the limits and that labelled parts decide nothing."""
    assert run("calibrate", "--help") == 0
    shown = capsys.readouterr().out
    assert "good parts" in shown
    assert "they decide nothing" in " ".join(shown.split())
