"""2D extractors beside DINO: their tokens are timm's, from every published format; other models are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from tests.unit.made.images import (
    CLIP,
    DINOV2,
    REGISTERS,
    SAM,
    SMALL,
    State,
    as_clip,
    as_dinov2,
    as_sam,
    timms,
)
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.bench.seeded import write_seeded_weights
from cmfm_worker.cfm.image.architecture import paired_blocks
from cmfm_worker.cfm.image.features import load_image_encoder
from cmfm_worker.cfm.image.models import DINO, short_name, timm_name
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.weights import WeightsError, find_weights, read_state_dict

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
OPENAI = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])


def pictures() -> Tensor:
    torch.manual_seed(3)
    return torch.rand(2, 3, 224, 224)


def normalised(rgb: Tensor, mean: list[float], std: list[float]) -> Tensor:
    return (rgb - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def saved(state: State, path: Path) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("model", "grid", "how"),
    [(DINOV2, 16, IMAGENET), (CLIP, 14, OPENAI), (REGISTERS, 16, IMAGENET), (SMALL, 14, IMAGENET)],
)
def test_tokens_are_timms(
    model: str, grid: int, how: tuple[list[float], list[float]], tmp_path: Path
) -> None:
    """Cut after one block of two or after both, tokens are timm's: its mean and deviation, final norm, no prefix."""
    vit, rgb = timms(model, depth=2, img_size=224), pictures()
    file = saved(vit.state_dict(), tmp_path / "w.pth")
    x = normalised(rgb, *how)
    for blocks in (1, 2):
        encoder = load_image_encoder(file, blocks, model=model)
        expected = vit.get_intermediate_layers(x, n=[blocks - 1], norm=True)[0]
        assert (encoder.grid, encoder.width) == (grid, vit.embed_dim)
        torch.testing.assert_close(encoder(rgb), expected.flatten(0, 1), rtol=1e-4, atol=1e-4)
    every = vit.forward_features(x)[:, vit.num_prefix_tokens :]
    torch.testing.assert_close(encoder(rgb), every.flatten(0, 1), rtol=1e-4, atol=1e-4)


def test_sam_is_timms_with_its_neck(tmp_path: Path) -> None:
    """SAM on 224×224 pictures gives timm's neck output at every cut; block 3 is its first global one."""
    vit, rgb = timms(SAM, depth=4), pictures()
    file = saved(as_sam(vit.state_dict()), tmp_path / "w.pth")
    vit.patch_embed.set_input_size((224, 224))
    x = normalised(rgb, *IMAGENET)
    outputs = vit.forward_intermediates(x, norm=True, intermediates_only=True)
    for blocks in (1, 3, 4):
        encoder = load_image_encoder(file, blocks, model="sam")
        expected = outputs[blocks - 1].permute(0, 2, 3, 1).flatten(0, 2)
        assert (encoder.grid, encoder.width) == (14, 256)
        torch.testing.assert_close(encoder(rgb), expected, rtol=1e-4, atol=1e-4)
    whole = vit.forward_features(x).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(encoder(rgb), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [DINOV2, SAM, CLIP, REGISTERS])
def test_needed_tokens_are_the_same(model: str, tmp_path: Path) -> None:
    """Needed tokens are the same as among all tokens, for frames that need few or none."""
    file = saved(timms(model, depth=1).state_dict(), tmp_path / "w.pth")
    encoder, rgb = load_image_encoder(file, 1, model=model), pictures()
    needed = torch.zeros(2, encoder.grid**2, dtype=torch.bool)
    needed[0, 5:9] = needed[0, -1] = True
    torch.testing.assert_close(encoder(rgb, needed), encoder(rgb)[needed.flatten()], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [DINOV2, SAM])
def test_bf16_tokens_keep_their_direction(model: str, tmp_path: Path) -> None:
    """In bf16 the tokens keep their direction."""
    file = saved(timms(model, depth=1).state_dict(), tmp_path / "w.pth")
    exact, short = (
        load_image_encoder(file, 1, dtype=d, model=model) for d in (torch.float32, torch.bfloat16)
    )
    found, expected = short(pictures()), exact(pictures())
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, expected).min() > 0.995


def test_published_dinov2_is_resampled_by_timm(tmp_path: Path) -> None:
    """`dinov2_vitb14_pretrain.pth` is for 518×518; timm's resampling gives the same tokens."""
    vit, rgb = timms(DINOV2, depth=1), pictures()
    file = saved(as_dinov2(vit.state_dict()), tmp_path / "dinov2_vitb14_pretrain.pth")
    assert find_weights(tmp_path, "dinov2") == find_weights(tmp_path, DINOV2) == file
    vit.set_input_size((224, 224))
    expected = vit.forward_features(normalised(rgb, *IMAGENET))[:, 1:].flatten(0, 1)
    torch.testing.assert_close(
        load_image_encoder(file, 1, model="dinov2")(rgb), expected, rtol=1e-4, atol=1e-4
    )


def test_openais_names_and_half_precision(tmp_path: Path) -> None:
    """A state dict of the whole of CLIP with OpenAI's names works: the image tower is found in it."""
    vit, rgb = timms(CLIP, depth=1), pictures()
    file = saved(as_clip(vit.state_dict()), tmp_path / f"{CLIP}.bin")
    vit.load_state_dict({key: value.half().float() for key, value in vit.state_dict().items()})
    expected = vit.forward_features(normalised(rgb, *OPENAI))[:, 1:].flatten(0, 1)
    found = load_image_encoder(find_weights(tmp_path, "clip"), 1, model="clip")
    assert find_weights(tmp_path, "clip") == file
    torch.testing.assert_close(found(rgb), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin", ".pt"])
@pytest.mark.parametrize("name", ["dino", "sam", "vit_tiny_patch16_224.augreg_in21k"])
def test_weights_are_found_under_timms_name(name: str, suffix: str, tmp_path: Path) -> None:
    """A file under timm's name for the model is found, in any format."""
    file = tmp_path / f"{timm_name(name)}{suffix}"
    file.touch()
    assert find_weights(tmp_path, name) == file


def test_torchscript_archive_is_refused_unread(tmp_path: Path) -> None:
    """OpenAI's archive of CLIP holds code and is refused before torch reads it."""
    path = tmp_path / f"{CLIP}.pt"
    with ZipFile(path, "w") as archive:
        for member in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"ViT-B-16/{member}", b"nothing that could be read")
    with pytest.raises(
        WeightsError, match=r"openai\.pt: a TorchScript archive, which holds code.*weights list"
    ):
        read_state_dict(path)


def without_layer_scale(state: State) -> State:
    return {key: value for key, value in state.items() if ".ls" not in key}


def with_more(state: State) -> State:
    return state | {"blocks.0.ls3.gamma": torch.ones(384)}


@pytest.mark.parametrize(
    ("change", "model", "named"),
    [
        (without_layer_scale, REGISTERS, r"keys are missing \(blocks\.0\.ls1\.gamma"),
        (with_more, REGISTERS, r"'blocks\.0\.ls3\.gamma' has no place in vit_small_patch14_reg4_dinov2"),
        (
            dict,
            SMALL,
            r"'patch_embed\.proj\.weight' must have shape \(384, 3, 16, 16\), found \(384, 3, 14, 14\)",
        ),
        (dict, DINOV2, r"w\.pth: "),
    ],
)
def test_weights_of_another_model_are_refused(
    change: Callable[[State], State], model: str, named: str, tmp_path: Path
) -> None:
    """Missing tensors, surplus tensors, other patches and other widths are named with the file."""
    file = saved(change(dict(timms(REGISTERS, depth=1).state_dict())), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=named):
        load_image_encoder(file, 1, model=model)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("dino3", "'dino3' is not an image extractor: expected dino, dinov2, sam, clip or timm's name"),
        ("resnet50.a1_in1k", "is not an image extractor"),
        ("hf-hub:timm/vit_base_patch8_224.dino", "is not an image extractor"),
        ("../dino", "is not an image extractor"),
        ("vit_base_patch8_224.nothing", "nothing"),
        ("flexivit_base.1200ep_in1k", "cannot be resampled here"),
        ("vit_small_patch16_18x2_224", "its blocks are not offered"),
    ],
)
def test_other_models_are_refused(model: str, named: str, tmp_path: Path) -> None:
    """A name that is not a vision transformer of timm is refused before any file is read; nothing is downloaded."""
    with pytest.raises(ValueError, match=named):
        load_image_encoder(tmp_path / "nowhere.pth", 1, model=model)


def test_cut_that_a_model_does_not_have(tmp_path: Path) -> None:
    """A model can be cut after its first block and up to its last."""
    for blocks in (0, 13):
        with pytest.raises(ValueError, match=f"has 12 blocks, it cannot be cut after block {blocks}"):
            load_image_encoder(tmp_path / "nowhere.pth", blocks, model="clip")


def test_models_of_another_depth_are_kept_whole_or_refused() -> None:
    """All 12 blocks of Point-MAE go with all blocks of a deeper model; a smaller cut of both is refused."""
    large = "vit_large_patch14_dinov2.lvd142m"
    assert [paired_blocks(DINO, blocks) for blocks in (12, 8, 4, 1)] == [12, 8, 4, 1]
    assert paired_blocks(large, 12) == 24
    with pytest.raises(ValueError, match=r"has 24 blocks and Point-MAE 12.* keep all of both with 12"):
        paired_blocks(large, 8)


def test_short_names_are_those_of_table_10() -> None:
    """Both names of a model mean the same model."""
    for short in ("dino", "dinov2", "sam", "clip"):
        assert short_name(timm_name(short)) == short_name(short) == short
    assert timm_name(DINO) == DINO


GIVEN = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)


def frames() -> PreparedFrames:
    """Two frames on one surface, one with a part in the middle, one with a part in a corner."""
    foreground = torch.zeros(2, 224, 224, dtype=torch.bool)
    foreground[0, 90:130, 90:130] = foreground[1, 180:, 180:] = True
    row, column = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    surface = torch.stack([column * 1e-3, row * 1e-3, 0.5 + 1e-5 * row * column / 9])
    xyz = torch.where(foreground[:, None], surface, 0)
    plane, surroundings = torch.full((2, 4), torch.nan), torch.zeros(2, 4, dtype=torch.int32)
    return PreparedFrames(pictures(), xyz, foreground, foreground, plane, surroundings, GIVEN)


@pytest.mark.parametrize("image", ["dinov2", "sam"])
def test_features_are_the_dense_map_upsampled(image: str, tmp_path: Path) -> None:
    """E_2D at the pixels of the mask is `F.interpolate` of the token map, for any grid and width."""
    write_seeded_weights(tmp_path, blocks=1, images=[timm_name(image)])
    extractor = PaperExtractor(tmp_path, 1, 32, image=image)
    features = extractor(frames())
    grid, width = extractor.image_encoder.grid, extractor.d2
    tokens = extractor.image_encoder(frames().rgb).view(2, grid, grid, width).permute(0, 3, 1, 2)
    dense = F.interpolate(tokens, size=(224, 224), mode="bilinear", align_corners=False)
    torch.testing.assert_close(features.e2d, dense.permute(0, 2, 3, 1)[features.mask], rtol=1e-4, atol=1e-4)
    assert extractor.identity.image == timm_name(image)
    assert any(name.startswith(timm_name(image)) for name in extractor.identity.sha256)


def test_int8_is_offered_for_dino_only(tmp_path: Path) -> None:
    """int8 is refused for other models than DINO before their files are looked for."""
    with pytest.raises(ValueError, match=r"int8 is offered for vit_base_patch8_224\.dino.* use fp32 or bf16"):
        PaperExtractor(tmp_path, 1, 32, precision="int8", image="sam")


def test_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder can be built without any network."""
    import socket

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    file = saved(timms(SMALL, depth=1).state_dict(), tmp_path / "w.pth")
    assert load_image_encoder(file, 1, model=SMALL).grid == 14
