"""`--image-extractor`: a recipe records its 2D extractor and is inspected only with that one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.made.dataset import fit, frame, read_json, run, write_part

from cmfm_worker.bench.seeded import write_seeded_weights
from cmfm_worker.cfm.image.models import DINO, SHORT_NAMES
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.extractors import build_extractor, extractor_of, require_match
from cmfm_worker.recipes.recipe import load_recipe

DINOV2 = SHORT_NAMES["dinov2"]
CPU = torch.device("cpu")
SMALL_PARTS = {"train": 2, "validation": 2, "test": 1}
T = ("--extractors", "paper", "--blocks", 1, "--group-size", 32, "--background", "none", "--epochs", 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one block of DINO, DINO-v2 and Point-MAE with seeded weights."""
    folder = tmp_path_factory.mktemp("weights")
    write_seeded_weights(folder, 1, [DINO, DINOV2])
    return folder


@pytest.fixture(scope="module")
def taught_with_dinov2(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a small data set and teach a recipe on it with DINO-v2, cut after block 1."""
    folder = tmp_path_factory.mktemp("dinov2")
    for split, count in SMALL_PARTS.items():
        for i in range(count):
            rgb, xyz = frame(10 * count + i)
            part = np.zeros_like(xyz)  # without 3D everywhere but on a patch, so that little is computed
            part[38:58, 38:58] = xyz[38:58, 38:58]
            write_part(folder / "data" / "dome" / split / "good", f"{i:03d}", rgb, part)
    arguments = (*T, "--image-extractor", "dinov2", "--weights", weights)
    assert fit(folder / "data", folder / "dome", *arguments) == 0
    return folder / "data", folder / "dome"


def test_recipe_records_its_extractor_and_is_inspected_with_it(
    taught_with_dinov2: tuple[Path, Path], weights: Path, tmp_path: Path
) -> None:
    """`fit` records timm's name and the file's hash; `inspect` needs no option to build the same extractor."""
    root, folder = taught_with_dinov2
    recipe = load_recipe(folder).recipe
    assert recipe.extractor.image == DINOV2
    assert f"{DINOV2}.pth" in recipe.extractor.sha256
    assert (recipe.mapping.d2, recipe.mapping.d3) == (768, 384)
    test = root / "dome" / "test" / "good"
    files = ("--rgb", test / "rgb" / "000.png", "--xyz", test / "xyz" / "000.tiff", "--out", tmp_path / "out")
    assert run("inspect", "--recipe", folder, "--weights", weights, *files) == 0
    result = read_json(tmp_path / "out" / "result.json")
    assert result["model_sha"] == recipe.model_sha
    assert result["score"] > 0


def test_other_extractor_than_taught_with_is_refused_by_name(
    taught_with_dinov2: tuple[Path, Path], weights: Path
) -> None:
    """DINO is refused for a recipe taught on DINO-v2, whose features have the same width; both models are named."""
    recipe = load_recipe(taught_with_dinov2[1]).recipe
    dino = build_extractor("paper", weights, blocks=1, group_size=32, device=CPU, image="dino")
    with pytest.raises(InputError) as refused:
        require_match(recipe, dino.identity)
    assert f"extractor.image = '{DINOV2}'" in str(refused.value)
    assert f"'{DINO}'" in str(refused.value)
    assert extractor_of(recipe, weights, CPU).identity.image == DINOV2


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (
            "sam",
            [
                "no sam weights in",
                "sam_vit_b_01ec64.pth",
                "fbaipublicfiles.com/segment_anything",
                "--which sam",
            ],
        ),
        ("clip", ["no clip weights in", f"{SHORT_NAMES['clip']}.safetensors", "--which clip"]),
        (
            "vit_small_patch14_dinov2.lvd142m",
            [
                "vit_small_patch14_dinov2.lvd142m.pth",
                "timm/vit_small_patch14_dinov2.lvd142m/resolve",
                "--which vit_",
            ],
        ),
        ("dinov3", ["'dinov3' is not an image extractor", "dinov2"]),
        ("vit_base_patch8_224/../dino", ["is not an image extractor"]),
    ],
)
def test_missing_weights_are_named_with_their_address(
    image: str,
    named: list[str],
    taught_with_dinov2: tuple[Path, Path],
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before any part is read the message names the file, its address and the command that downloads it."""
    capsys.readouterr()
    arguments = (*T, "--image-extractor", image, "--weights", weights)
    assert fit(taught_with_dinov2[0], tmp_path / "dome", *arguments) == 2
    message = capsys.readouterr().err
    assert all(text in message for text in named), message
    assert not (tmp_path / "dome").exists()


def test_classic_has_no_image_extractor(
    taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is refused for `classic`."""
    assert fit(taught[0], tmp_path / "dome", "--image-extractor", "sam") == 2
    assert "sam is for 'paper'" in capsys.readouterr().err


def test_larger_model_is_not_cut(
    taught_with_dinov2: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fit` refuses a model with another number of blocks than Point-MAE and says so."""
    large = "vit_large_patch14_dinov2.lvd142m"
    for name in (f"{large}.pth", "pretrain.pth"):
        (tmp_path / name).touch()
    arguments = (*T, "--image-extractor", large, "--weights", tmp_path)
    assert fit(taught_with_dinov2[0], tmp_path / "dome", *arguments) == 2
    assert f"{large} has 24 blocks and Point-MAE 12" in capsys.readouterr().err
