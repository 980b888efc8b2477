"""`fit` and `calibrate` end with what thresholds cost and catch, and with the nominal parts to look at."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from PIL import Image
from tests.unit.made.dataset import fit, frame, read_json, run, write_dataset, write_part

from cmfm_worker.errors import InputError
from cmfm_worker.recipes.folder import check_target
from cmfm_worker.recipes.recipe import load_recipe, read_recipe_file

STAINED = "dome-train-good-Teil 7 mit Fleck ä"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, str]:
    """Return a data set with a defective part among its good ones, a recipe taught on it, and what `fit` printed."""
    folder = tmp_path_factory.mktemp("closing")
    root, recipe = write_dataset(folder / "data", train=13, validation=4, good=0, stains=0), folder / "dome"
    write_part(root / "dome" / "train" / "good", STAINED[16:], *frame(99, stained=True))
    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        assert fit(root, recipe, "--epochs", 12, "--simulated-defects", 24) == 0
    return root, recipe, out.getvalue(), err.getvalue()


def table(text: str, title: str) -> Iterator[list[str]]:
    """The rows of a table in output that is not a terminal."""
    _, _, rest = text.partition(f"# {title}")
    for line in rest.splitlines()[1:]:
        if line.startswith("# "):
            return
        yield line.split("\t")


def test_a_defective_part_among_the_good_ones_is_named(made: tuple[Path, Path, str, str]) -> None:
    """The message says what to do if it is mislabelled and if it is a rare view, and can be pasted."""
    *_, err = made
    said = " ".join(err.split())
    assert f"mislabelled or a rare view: {STAINED} (" in said
    assert f"--leave-out '{STAINED}'" in said
    assert "teach more of them" in said
    assert said.count("--leave-out") == 1


def test_without_it_no_part_is_suspected_and_the_threshold_is_about_the_same(
    made: tuple[Path, Path, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Leaving it out as the message says ends the suspicion. One odd part had not decided the threshold."""
    root, recipe, *_ = made
    assert fit(root, tmp_path / "dome", "--epochs", 12, "--leave-out", STAINED, "--json") == 0
    said = capsys.readouterr()
    assert "mislabelled" not in said.err
    summary = json.loads(said.out)
    assert summary["mislabelled_or_rare"] == []
    assert summary["left_out"] == [STAINED]
    before = read_recipe_file(recipe).threshold
    assert before is not None
    assert summary["threshold"]["fail_at"] == pytest.approx(before.fail_at, rel=0.3)


def test_the_thresholds_are_shown_with_what_they_cost_and_catch(made: tuple[Path, Path, str, str]) -> None:
    """Each rate has its threshold, interval and share of simulated defects; higher thresholds catch no more."""
    _, recipe, out, _ = made
    threshold = read_recipe_file(recipe).threshold
    assert threshold is not None
    head, *rows = table(out, "thresholds (* the recipe's)")
    assert head == ["good parts rejected", "95 % interval", "FAIL from", "caught"]
    assert [row[0] for row in rows][1:4] == ["10 %, 1 of 10", "* 5 %, 1 of 20", "2 %, 1 of 50"]
    assert float(rows[2][2]) == pytest.approx(threshold.fail_at, rel=1e-3)
    scores = [float(row[2]) for row in rows]
    assert scores == sorted(scores)
    caught = [int(row[3].rstrip("%")) for row in rows]
    assert caught == sorted(caught, reverse=True)
    assert caught[0] > 0
    by_sort = list(table(out, "simulated defects caught"))
    assert [row[0].split(",")[0] for row in by_sort[1:]] == [
        "small",
        "medium",
        "large",
        "scratch",
        "shape alone",
        "colour alone",
        "shape and colour",
    ]
    assert by_sort[1][0].endswith("mm")
    assert "about 1 of 20 good parts will be rejected (5 %;" in out
    assert "with 1 % it would be 1 of 100, FAIL at score ≥ " in out


def test_the_worst_nominal_parts_are_pictures_in_the_recipe(made: tuple[Path, Path, str, str]) -> None:
    """The defective part comes first, seen by networks that were not fitted on it: its stain is what stands out."""
    _, recipe, out, _ = made
    rows = list(table(out, "look at these nominal parts: are they good?"))[1:]
    assert rows[0][0] == STAINED
    assert rows[0][2:] == ["out of fold", "FAIL"]
    report = recipe / "report"
    pictures = sorted(path.name for path in report.glob("*.png"))
    assert len(pictures) == len(rows) == 5
    assert pictures[0].startswith("good-1-dome-train-good-Teil_7_mit_Fleck_ä")
    with Image.open(report / pictures[0]) as picture:
        tile = picture.convert("RGB").crop((16, 122, 256, 362))
    pixels = [i for i, pixel in enumerate(tile.get_flattened_data()) if pixel == (255, 40, 200)]
    x, y = (median(values) / 240 for values in ([i % 240 for i in pixels], [i // 240 for i in pixels]))
    assert (x, y) == pytest.approx((0.58, 0.52), abs=0.04)  # where the stain is


def test_the_page_needs_no_other_file_and_has_every_figure(made: tuple[Path, Path, str, str]) -> None:
    """It holds curves and pictures itself, escapes names, and loads nothing; the JSON has the whole curve."""
    _, recipe, _, _ = made
    page = (recipe / "report" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    embedded = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert [Image.open(io.BytesIO(base64.b64decode(text))).size[0] for text in embedded] == [1296] * 5
    assert page.count("<polyline") == 1 + 4
    assert "mislabelled or a rare view" in page
    figures = read_json(recipe / "report" / "report.json")
    assert len(figures["nominal_parts"]) == 14 + 4
    assert figures["mislabelled_or_rare"]["parts"] == [STAINED]
    assert len(figures["simulated_defects"]) == 24
    rates = [point["false_reject_rate"] for point in figures["curve"]]
    assert rates == sorted(rates, reverse=True)
    assert all(
        point["interval"][0] <= point["false_reject_rate"] <= point["interval"][1]
        for point in figures["curve"]
    )


def test_calibrate_ends_in_the_same_way_and_replaces_the_report(
    taught: tuple[Path, Path],
    made: tuple[Path, Path, str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From other parts: the tail's threshold for 5 %, thresholds and pictures; a dry run changes no file."""
    recipe, lot = tmp_path / "dome", tmp_path / "lot"
    shutil.copytree(taught[1], recipe)
    shutil.rmtree(recipe / "report")
    shutil.copytree(made[1] / "report", recipe / "report")
    for i in range(11):
        write_part(lot, f"{i:03d}", *frame(300 + i))
    write_part(lot, "013", *frame(320, stained=True))
    parts = ["--recipe", recipe, "--nominal", lot, "--simulated-defects", 12]
    before = (recipe / "report" / "report.json").read_bytes()
    assert run("calibrate", *parts, "--dry-run") == 0
    said = capsys.readouterr()
    assert "* 5 %, 1 of 20" in said.out
    assert "lot-013" in next(line for line in said.err.splitlines() if "mislabelled" in line)
    assert (recipe / "report" / "report.json").read_bytes() == before
    assert run("calibrate", *parts, "--leave-out", "013", "--force") == 0
    assert "about 1 of 20 good parts will be rejected" in capsys.readouterr().out
    figures = read_json(recipe / "report" / "report.json")
    assert {each["part"] for each in figures["nominal_parts"]} == {f"lot-{i:03d}" for i in range(11)}
    assert all(path.name.startswith("good-") for path in (recipe / "report").glob("*.png"))
    assert not list((recipe / "report").glob(f"*{STAINED[16:20]}*"))
    threshold = load_recipe(recipe).recipe.threshold
    assert threshold is not None
    assert (threshold.method, threshold.target_false_reject_rate) == ("tail", 0.05)


def test_a_report_is_replaced_only_if_nothing_else_is_in_it(
    made: tuple[Path, Path, str, str], tmp_path: Path
) -> None:
    """--force removes a report, but not a person's notes beside it."""
    shutil.copytree(made[1], tmp_path / "dome")
    check_target(tmp_path / "dome", replace=True)
    (tmp_path / "dome" / "report" / "notes.txt").write_text("lot 7 is odd\n")
    with pytest.raises(InputError, match=r"report/notes\.txt"):
        check_target(tmp_path / "dome", replace=True)


def test_files_are_readable_by_the_user_that_the_line_runs_as(made: tuple[Path, Path, str, str]) -> None:
    """The recipe's files and report are for all users, whoever taught it."""
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in made[1].rglob("*"))
