"""A recipe folder: written whole, read back the same, and refused by file and key if something is wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from tests.unit.made.recipes import draft, pair, saved

from cmfm_worker.cfm.classic.residual_metric import ResidualMetric
from cmfm_worker.cfm.mapping.pair import Mapping, MappingPair, new_pair
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.exchange import exchange
from cmfm_worker.recipes.folder import recipe_name, replace_recipe_file, save_recipe
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.recipe import load_recipe, read_recipe_file
from cmfm_worker.recipes.sections import (
    BackgroundSection,
    CalibrationSection,
    ExtractorSection,
    ScoreSection,
    ThresholdSection,
)


def test_round_trip(tmp_path: Path) -> None:
    """A saved recipe is loaded the same: every section, both networks to the bit, the same model id."""
    written = saved(tmp_path / "part")
    read = load_recipe(tmp_path / "part")
    assert read.recipe == written.recipe
    assert read.model_sha == written.model_sha
    features = torch.rand(5, 3)
    assert torch.equal(read.mapping.to_3d(features), pair().to_3d(features))
    assert torch.equal(read.mapping.to_2d(features), pair().to_2d(features))


def test_recipe_is_made_of_two_plain_files(tmp_path: Path) -> None:
    """The folder holds recipe.toml, which any TOML reader understands, and mapping.safetensors; nothing else."""
    saved(tmp_path / "part")
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == [
        "mapping.safetensors",
        "recipe.toml",
    ]
    table = tomllib.loads((tmp_path / "part" / "recipe.toml").read_text())
    assert table["threshold"]["validation_scores"] == [0.1, 0.25, 0.4]
    assert [path.name for path in tmp_path.iterdir()] == ["part"], "no temporary folder is left"


def test_model_sha_covers_everything_that_decides_the_maps(tmp_path: Path) -> None:
    """Other networks, extractor, background or score give another id; another threshold does not."""
    base = saved(tmp_path / "base").model_sha
    others = [
        saved(tmp_path / "net", seed=1).model_sha,
        saved(
            tmp_path / "plane", background=BackgroundSection(method="none", plane_distance_m=0.01)
        ).model_sha,
        saved(tmp_path / "score", score=ScoreSection(normalisation="published")).model_sha,
        saved(tmp_path / "distance", score=ScoreSection(distance="standardised")).model_sha,
        saved(tmp_path / "extractor", extractor=ExtractorSection(preset="classic", version="2")).model_sha,
        saved(tmp_path / "dino", extractor=paper("dino")).model_sha,
        saved(tmp_path / "sam", extractor=paper("sam")).model_sha,
        saved(tmp_path / "compressed", score=ScoreSection(compress_from=3.0)).model_sha,
    ]
    assert len({base, *others}) == 9
    assert saved(tmp_path / "threshold", threshold=ThresholdSection(fail_at=9.0)).model_sha == base


@pytest.mark.parametrize("compress_from", [3.5, None])
def test_model_sha_can_be_computed_from_the_file(tmp_path: Path, compress_from: float | None) -> None:
    """It is the sha256 over the sections extractor, background and score and the mapping's digest, sorted by key.

    A recipe without `compress_from`, such as one from before there was the key, has its sha without the key.
    """
    recipe = saved(tmp_path / "part", score=ScoreSection(compress_from=compress_from)).recipe
    sections = ("extractor", "background", "score")
    table: dict[str, dict[str, object]] = {
        name: getattr(recipe, name).model_dump(mode="json") for name in sections
    }
    if compress_from is None:
        del table["score"]["compress_from"]
    text = json.dumps(table | {"mapping": recipe.mapping.sha256}, sort_keys=True)
    assert recipe.model_sha == hashlib.sha256(text.encode()).hexdigest()


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """If the disk is full while the report is written, there is no recipe, and an earlier one stays as it was."""

    def full(folder: Path) -> None:
        (folder / "report.html").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=r"part: cannot be written \(No space left on device\)"):
        save_recipe(tmp_path / "part", draft(), pair(), report=full)
    assert not list(tmp_path.iterdir())
    loaded = saved(tmp_path / "part")
    before = (tmp_path / "part" / "recipe.toml").read_bytes()
    other = loaded.recipe.model_copy(update={"threshold": ThresholdSection(fail_at=9.0)})
    with pytest.raises(InputError, match="No space left"):
        replace_recipe_file(tmp_path / "part", hashlib.sha256(before).hexdigest(), other, full)
    assert (tmp_path / "part" / "recipe.toml").read_bytes() == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mapping.safetensors", "part", "recipe.toml"]


def test_spreads_are_stored_and_required(tmp_path: Path) -> None:
    """Networks come back with their spreads; a recipe that needs spreads they never learned is refused."""
    taught = MappingPair(Mapping(3, 3, hidden=4, spread=True), Mapping(3, 3, hidden=4, spread=True))
    save_recipe(tmp_path / "part", draft(score=ScoreSection(distance="standardised")), taught)
    read, features = load_recipe(tmp_path / "part").mapping, torch.rand(5, 3)
    for network, same in ((taught.to_3d, read.to_3d), (taught.to_2d, read.to_2d)):
        torch.testing.assert_close(network.with_log_spread(features), same.with_log_spread(features))
    saved(tmp_path / "plain", score=ScoreSection(distance="standardised"))
    with pytest.raises(InputError, match=r"score\.distance is 'standardised'.*no spreads"):
        load_recipe(tmp_path / "plain")


def test_metric_is_stored_and_required(tmp_path: Path) -> None:
    """A mapping comes back with its metric; a recipe with the distance `metric` but no metric is refused."""
    networks = Mapping(3, 3, hidden=4, spread=True), Mapping(3, 3, hidden=4, spread=True)
    metric = ResidualMetric(torch.rand(6, 3), torch.rand(6, 3))
    by_metric = draft(score=ScoreSection(distance="metric"))
    with_metric = save_recipe(tmp_path / "part", by_metric, MappingPair(*networks, metric=metric))
    read = load_recipe(tmp_path / "part")
    assert read.model_sha == with_metric.model_sha
    assert read.mapping.metric is not None
    torch.testing.assert_close(read.mapping.metric.state_dict(), metric.state_dict(), rtol=0, atol=0)
    save_recipe(tmp_path / "plain", by_metric, MappingPair(*networks))
    with pytest.raises(InputError, match=r"score\.distance is 'metric'.*holds no metric"):
        load_recipe(tmp_path / "plain")


def replaced(old: str, new: str) -> Callable[[Path], None]:
    """Return a function that damages recipe.toml by replacing one piece of its text."""

    def damage(folder: Path) -> None:
        path = folder / "recipe.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return damage


def flipped_byte(folder: Path) -> None:
    path = folder / "mapping.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def other_networks(folder: Path) -> None:
    saved(folder.parent / "other", seed=3)
    (folder.parent / "other" / "mapping.safetensors").replace(folder / "mapping.safetensors")


DAMAGES: list[tuple[Callable[[Path], object], list[str]]] = [
    (replaced("fail_at", "fail_att"), ["recipe.toml", "threshold.fail_att", "did you mean 'fail_at'"]),
    (replaced("format_version = 1", "format_version = 2"), ["recipe.toml", "format_version is 2", "reads 1"]),
    (replaced("[extractor]", "[extractor"), ["recipe.toml", "cannot be read as TOML"]),
    (replaced('preset = "classic"', 'preset = "clasic"'), ["recipe.toml", "extractor.preset", "'clasic'"]),
    (replaced("fail_at = 0.5", "fail_at = nan"), ["recipe.toml", "threshold.fail_at", "nan"]),
    (replaced("minimum = 0.5", "minimum = 1.5"), ["recipe.toml", "coverage.minimum", "1.5"]),
    (replaced("hidden = 4", "hidden = 5"), ["recipe.toml", "mapping.hidden is 5", "has 4"]),
    (replaced('name = "part"', 'name = "a part"'), ["recipe.toml", "name", "'a part'"]),
    (replaced('file = "mapping.safetensors"', 'file = "/etc/passwd"'), ["recipe.toml", "mapping.file"]),
    (replaced('architecture = "mlp"\n', ""), ["recipe.toml", "mapping.architecture", "missing"]),
    (replaced('modality = "cross"\n', ""), ["recipe.toml", "mapping.modality", "missing"]),
    (
        replaced('preset = "classic"', 'preset = "paper"'),
        ["recipe.toml", "extractor.image", "needs the name"],
    ),
    (flipped_byte, ["mapping.safetensors", "sha256"]),
    (other_networks, ["mapping.safetensors", "sha256"]),
    (lambda folder: (folder / "mapping.safetensors").unlink(), ["mapping.safetensors"]),
    (lambda folder: (folder / "recipe.toml").unlink(), ["not a recipe", "recipe.toml"]),
]


@pytest.mark.parametrize(("damage", "named"), DAMAGES)
def test_damage_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], object], named: list[str]
) -> None:
    """Whatever is wrong in a recipe, the error names the file and the key."""
    saved(tmp_path / "part")
    damage(tmp_path / "part")
    with pytest.raises(InputError) as caught:
        load_recipe(tmp_path / "part")
    for text in named:
        assert text in str(caught.value)


def test_missing_recipe_is_named(tmp_path: Path) -> None:
    """The error for a missing folder says that it is missing."""
    with pytest.raises(InputError, match="nowhere: no such recipe folder"):
        load_recipe(tmp_path / "nowhere")


def test_recipe_is_not_replaced_unasked(tmp_path: Path) -> None:
    """A recipe is replaced only on request; then the new one is there."""
    old = saved(tmp_path / "part")
    with pytest.raises(InputError, match="--force"):
        save_recipe(tmp_path / "part", draft(), pair(1))
    assert load_recipe(tmp_path / "part").model_sha == old.model_sha
    new = save_recipe(tmp_path / "part", draft(), pair(1), replace=True)
    assert load_recipe(tmp_path / "part").model_sha == new.model_sha != old.model_sha


def test_a_reader_finds_a_recipe_at_any_moment_of_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts, or a writer that is killed, between any two steps of a change: a recipe is there."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange folders")
    saved(tmp_path / "part")
    rename = Path.rename

    def looked_at(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        read_recipe_file(tmp_path / "part")
        return moved

    monkeypatch.setattr(Path, "rename", looked_at)
    new = save_recipe(tmp_path / "part", draft(name="other"), pair(1), replace=True)
    assert load_recipe(tmp_path / "part").model_sha == new.model_sha
    assert read_recipe_file(tmp_path / "part").name == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "part"]


def test_folders_that_cannot_be_exchanged_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old file system: the recipe is replaced all the same."""
    monkeypatch.setattr("cmfm_worker.recipes.folder.exchange", lambda *_: False)
    saved(tmp_path / "part")
    new = save_recipe(tmp_path / "part", draft(), pair(1), replace=True)
    assert load_recipe(tmp_path / "part").model_sha == new.model_sha
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_an_exchange_that_fails_says_why(tmp_path: Path) -> None:
    """A path that is not there is an error, not a file system without exchange."""
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "none")


def test_other_peoples_files_are_never_touched(tmp_path: Path) -> None:
    """A folder that holds anything else is refused, even with `replace`."""
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        save_recipe(tmp_path / "part", draft(), pair(), replace=True)
    assert (tmp_path / "part" / "thesis.tex").read_text() == "precious"


def test_failed_write_leaves_the_old_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full half-way, the old recipe is still there and nothing half-written."""
    old = saved(tmp_path / "part")

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cmfm_worker.recipes.commented_toml.tomli_w.dumps", full_disk)
    with pytest.raises(InputError, match="No space left"):
        save_recipe(tmp_path / "part", draft(), pair(1), replace=True)
    assert load_recipe(tmp_path / "part").model_sha == old.model_sha
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_background_override_has_its_own_model_id(tmp_path: Path) -> None:
    """Overriding an option keeps the others and changes the model id; a bad value is refused by name."""
    loaded = saved(tmp_path / "part")
    other = loaded.with_background("ransac", None, None)
    assert (other.recipe.background.method, other.recipe.background.clusters) == ("ransac", "largest")
    assert other.model_sha != loaded.model_sha
    assert loaded.with_background().model_sha == loaded.model_sha
    with pytest.raises(InputError, match="plane_distance_m"):
        loaded.with_background(plane_distance_m=0.0)


PLANE = (0.0, 0.0, -1.0, 0.5)


def test_taught_tray_is_stored_and_used(tmp_path: Path) -> None:
    """The plane comes back from the file and changes the model id; an override by another method drops it."""
    saved(tmp_path / "part", background=BackgroundSection(method="fixed", plane=PLANE))
    loaded = load_recipe(tmp_path / "part")
    assert loaded.recipe.background.options().plane == PLANE
    moved = saved(tmp_path / "moved", background=BackgroundSection(method="fixed", plane=(*PLANE[:3], 0.51)))
    assert moved.model_sha != loaded.model_sha
    assert loaded.with_background("ransac").recipe.background.plane is None
    with pytest.raises(InputError, match="needs the tray's plane"):
        saved(tmp_path / "other").with_background("fixed")


def paper(image: str) -> ExtractorSection:
    return ExtractorSection(preset="paper", version="1", blocks=1, image=image, sha256={"w.pth": "ab" * 32})


def test_2d_extractor_is_recorded_by_timms_name() -> None:
    """A short name written by hand means timm's model; an impossible name, and one for `classic`, are refused."""
    assert paper("dinov2").image == "vit_base_patch14_dinov2.lvd142m"
    with pytest.raises(ValueError, match="is not an image extractor"):
        paper("hf-hub:somewhere/else")
    with pytest.raises(ValueError, match="other presets have none"):
        ExtractorSection(preset="classic", version="2", image="dino")


@pytest.mark.parametrize("plane", [(0.0, 0.0, -2.0, 0.5), (0.0, 0.0, 0.0, 0.5)])
def test_plane_without_a_unit_normal_is_refused(plane: tuple[float, float, float, float]) -> None:
    """A normal whose length is not 1 would scale all heights."""
    with pytest.raises(ValueError, match="unit normal"):
        BackgroundSection(method="fixed", plane=plane)


@pytest.mark.parametrize("name", ["a part", "ä", "x" * 65])
def test_folder_names_that_headers_cannot_carry(tmp_path: Path, name: str) -> None:
    """Frame headers name a recipe by its folder, so the folder's name must fit them."""
    with pytest.raises(InputError, match="A-Z"):
        recipe_name(tmp_path / name)
    assert recipe_name(tmp_path / "bagel-2.1_b") == "bagel-2.1_b"


@pytest.mark.parametrize("modality", ["cross", "intra"])
@pytest.mark.parametrize("architecture", ["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"])
def test_recipe_says_what_its_networks_are(
    tmp_path: Path, architecture: Architecture, modality: Modality
) -> None:
    """The networks come back with their architecture and modality, although both modalities have the same width."""
    written = save_recipe(tmp_path / "part", draft(), new_pair(3, 3, architecture, modality))
    read = load_recipe(tmp_path / "part")
    assert (read.recipe.mapping.architecture, read.recipe.mapping.modality) == (architecture, modality)
    assert (read.mapping.architecture, read.mapping.modality) == (architecture, modality)
    assert read.model_sha == written.model_sha


@pytest.mark.parametrize(
    ("key", "said", "taught"),
    [
        ("architecture", "mlp", new_pair(3, 3, "mlp_encoder_decoder")),
        ("architecture", "conv_encoder_decoder", new_pair(3, 3, "mlp")),
        ("modality", "intra", new_pair(3, 3, "mlp", "cross")),
        ("modality", "cross", new_pair(3, 3, "mlp", "intra")),
    ],
)
def test_file_that_is_not_what_the_recipe_says_is_refused(
    tmp_path: Path, key: str, said: str, taught: MappingPair
) -> None:
    """Networks of another architecture or modality than stated are refused; file and key are named."""
    save_recipe(tmp_path / "part", draft(), taught)
    true = getattr(taught, key)
    replaced(f'{key} = "{true}"', f'{key} = "{said}"')(tmp_path / "part")
    with pytest.raises(InputError, match=rf"recipe\.toml: mapping\.{key} is {said}, .* has {true}"):
        load_recipe(tmp_path / "part")


def test_aggregation_is_stored_and_used(tmp_path: Path) -> None:
    """Each aggregation has its own model id and comes back from the file; for an unknown one the known are named."""
    known = get_args(Aggregation)
    recipes = [saved(tmp_path / name, score=ScoreSection(aggregation=name)) for name in known]
    assert len({recipe.model_sha for recipe in recipes}) == len(known)
    assert [load_recipe(tmp_path / name).recipe.score.aggregation for name in known] == list(known)
    replaced('aggregation = "sum"', 'aggregation = "mean"')(tmp_path / "sum")
    with pytest.raises(InputError, match=r"score\.aggregation.*'product'.*'3d'"):
        load_recipe(tmp_path / "sum")


@pytest.mark.parametrize(("key", "value", "wrong"), [("smoothing_px", 2.0, "0.1"), ("highest_px", 200, "0")])
def test_scoring_is_stored_and_used(tmp_path: Path, key: str, value: float, wrong: str) -> None:
    """Another smoothing or number of pixels has its own model id and comes back; an invalid value is named."""
    base = saved(tmp_path / "base")
    other = saved(tmp_path / "other", score=ScoreSection.model_validate({key: value}))
    assert other.model_sha != base.model_sha
    assert getattr(load_recipe(tmp_path / "other").recipe.score, key) == value
    replaced(f"{key} = {value}", f"{key} = {wrong}")(tmp_path / "other")
    with pytest.raises(InputError, match=rf"score\.{key}"):
        load_recipe(tmp_path / "other")


def test_file_explains_its_limits_to_who_edits_it(tmp_path: Path) -> None:
    """Above a key stands its meaning; the file is read back as the same recipe, and text that looks like TOML stays."""
    limits = LimitsSection(off=("unexpected_piece",), edge_px=7, filled=(0.8, 0.95))
    made = saved(tmp_path / "part", limits=limits, calibration=CalibrationSection(id="[limits] edge_px = 3"))
    lines = (tmp_path / "part" / "recipe.toml").read_text().splitlines()
    at = lines.index("edge_px = 7")
    assert lines[at - 1] == "# out_of_view: least distance of the part to the edge of the picture"
    assert not any(line.startswith("#") and len(line) > 100 for line in lines)
    read = load_recipe(tmp_path / "part").recipe
    assert read == made.recipe
    assert read.limits == limits


def test_wrong_limits_are_told_by_key(tmp_path: Path) -> None:
    """A range the wrong way round, an unknown reason and an unknown key are named."""
    saved(
        tmp_path / "part", limits=LimitsSection(off=("unexpected_piece",), pieces=(1, 2), filled=(0.8, 0.95))
    )
    path = tmp_path / "part" / "recipe.toml"
    text = path.read_text()
    for old, new, said in (
        ('"unexpected_piece"', '"unexpected_pice"', "limits.off"),
        ("0.95", "0.75", "limits.filled"),
        ("[limits]", "[limits]\nedges_px = 3", "edge_px"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(InputError, match=re.escape(said)):
            load_recipe(tmp_path / "part")


@pytest.mark.parametrize("name", ["recipe.toml", "mapping.safetensors"])
def test_pipe_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    """Reading it would wait for ever."""
    saved(tmp_path / "part")
    (tmp_path / "part" / name).unlink()
    os.mkfifo(tmp_path / "part" / name)
    with pytest.raises(InputError, match=f"{name}: not a file"):
        load_recipe(tmp_path / "part")
