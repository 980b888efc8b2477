"""The `paper` preset: what it refuses, its identity, and its encoders with small random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.extractor import Extractor, TooFewPointsError
from cmfm_worker.cfm.image.features import load_image_encoder
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.points.features import TAPS, load_point_encoder
from cmfm_worker.cfm.points.grouping import Groups
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.weights import WeightsError, convert_to_safetensors, sha256_file

State = dict[str, Tensor]


def block(prefix: str, dim: int, *, qkv_bias: bool) -> State:
    """One transformer block under its published keys."""
    shapes = {"attn.qkv.weight": (3 * dim, dim), "attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,)}
    shapes |= {"mlp.fc1.weight": (4 * dim, dim), "mlp.fc1.bias": (4 * dim,)}
    shapes |= {"mlp.fc2.weight": (dim, 4 * dim), "mlp.fc2.bias": (dim,)}
    shapes |= {f"norm{i}.{part}": (dim,) for i in (1, 2) for part in ("weight", "bias")}
    if qkv_bias:
        shapes["attn.qkv.bias"] = (3 * dim,)
    return {prefix + key: 0.05 * torch.randn(shape) for key, shape in shapes.items()}


def dino(dim: int = 768, patch: int = 8, blocks: int = 1) -> State:
    tokens = (224 // patch) ** 2 + 1
    state = {"cls_token": torch.randn(1, 1, dim), "pos_embed": torch.randn(1, tokens, dim)}
    state |= {"patch_embed.proj.weight": 0.1 * torch.randn(dim, 3, patch, patch)}
    state |= {"patch_embed.proj.bias": torch.zeros(dim), "norm.weight": torch.ones(dim)}
    state["norm.bias"] = torch.zeros(dim)
    for i in range(blocks):
        state |= block(f"blocks.{i}.", dim, qkv_bias=True)
    return state


def point_mae(blocks: int = 1) -> State:
    """The encoder under bare keys, with batch norms far from the identity."""
    state: State = {"norm.weight": torch.ones(384), "norm.bias": torch.zeros(384)}
    for conv, (wide_in, mid, out) in {"first_conv": (3, 128, 256), "second_conv": (512, 512, 384)}.items():
        state |= {f"encoder.{conv}.0.weight": torch.randn(mid, wide_in, 1) / wide_in**0.5}
        state |= {f"encoder.{conv}.3.weight": torch.randn(out, mid, 1) / mid**0.5}
        state |= {f"encoder.{conv}.0.bias": torch.randn(mid), f"encoder.{conv}.3.bias": torch.randn(out)}
        state |= {f"encoder.{conv}.1.{part}": torch.randn(mid) for part in ("weight", "bias", "running_mean")}
        state[f"encoder.{conv}.1.running_var"] = torch.rand(mid) + 0.2
        state[f"encoder.{conv}.1.num_batches_tracked"] = torch.tensor(9)
    for layer, (wide_in, out) in {"0": (3, 128), "2": (128, 384)}.items():
        state |= {
            f"pos_embed.{layer}.weight": torch.randn(out, wide_in),
            f"pos_embed.{layer}.bias": torch.randn(out),
        }
    for i in range(blocks):
        state |= block(f"blocks.blocks.{i}.", 384, qkv_bias=False)
    return state


def published(state: State, prefix: str = "module.MAE_encoder.") -> dict[str, object]:
    return {"base_model": {prefix + key: value for key, value in state.items()}, "epoch": 300}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one-block weights."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("weights")
    torch.save(dino(), folder / "dino_vitbase8_pretrain.pth")
    torch.save(published(point_mae()), folder / "pretrain.pth")
    return folder


def frames(*points: int) -> PreparedFrames:
    """Frames with the given numbers of foreground points, on a gently curved surface."""
    foreground = torch.zeros(len(points), 224 * 224, dtype=torch.bool)
    for plane, count in zip(foreground, points, strict=True):
        plane[3000 : 3000 + count] = True
    foreground = foreground.view(-1, 224, 224)
    row, column = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    surface = torch.stack([column * 1e-3, row * 1e-3, 0.5 + 1e-5 * row * column / 9]).expand(
        len(points), -1, -1, -1
    )
    return PreparedFrames(
        rgb=torch.rand(len(points), 3, 224, 224),
        xyz=torch.where(foreground[:, None], surface, 0),
        foreground=foreground,
        valid=foreground,
        plane=torch.full((len(points), 4), torch.nan),
        surroundings=torch.zeros(len(points), 4, dtype=torch.int32),
        picture=torch.zeros(len(points), 8, 8, 3, dtype=torch.uint8),
    )


def test_features_come_packed_with_their_mask(weights: Path) -> None:
    """Two frames of different size give finite rows for every masked pixel, of the stated widths."""
    extractor: Extractor = PaperExtractor(weights, blocks=1, group_size=32)
    features = extractor(frames(1024, 3000))
    assert features.e2d.shape == (sum(features.counts), extractor.d2) == (len(features.e3d), 768)
    assert features.e3d.shape[1] == extractor.d3 == 384
    assert features.e2d.isfinite().all()
    assert features.e3d.isfinite().all()
    assert features.counts[0] >= 1024, "the mask is a little wider than the foreground"


def test_features_can_be_learned_from(weights: Path) -> None:
    """A mapping can be fitted on the features, which are ordinary tensors for autograd."""
    features = PaperExtractor(weights, blocks=1, group_size=32)(frames(1024))
    layer = torch.nn.Linear(768, 2)
    layer(features.e2d).sum().backward()
    assert layer.weight.grad is not None


def test_too_few_points_are_refused_before_any_work(weights: Path) -> None:
    """The error names the frames and their counts, so that only these become FAULTs."""
    extractor = PaperExtractor(weights, blocks=1, group_size=32)
    assert extractor.min_points == 1024
    with pytest.raises(TooFewPointsError, match=r"1024 .* frame 1: 1023, frame 2: 0") as raised:
        extractor(frames(1024, 1023, 0))
    assert raised.value.frames == (1, 2)
    assert raised.value.counts == (1023, 0)


def test_identity_states_everything_the_features_depend_on(weights: Path) -> None:
    """The identity has preset, cut, group size and the hash of each file under its own name."""
    identity = PaperExtractor(weights, blocks=1, group_size=128).identity
    assert (identity.preset, identity.blocks, identity.group_size) == ("paper", 1, 128)
    assert identity.sha256 == {
        name: sha256_file(weights / name) for name in ("dino_vitbase8_pretrain.pth", "pretrain.pth")
    }


def test_converted_weights_are_the_same_extractor(weights: Path, tmp_path: Path) -> None:
    """Converted safetensors give equal features and an equal identity."""
    for path in weights.iterdir():
        convert_to_safetensors(path, tmp_path / f"{path.stem}.safetensors")
    batch = frames(1024)
    ours, twins = (PaperExtractor(folder, blocks=1, group_size=32) for folder in (weights, tmp_path))
    assert twins.identity == ours.identity
    assert torch.equal(twins(batch).e3d, ours(batch).e3d)
    assert torch.equal(twins(batch).e2d, ours(batch).e2d)


def test_image_tokens_are_timms(tmp_path: Path) -> None:
    """All tokens, and needed tokens only, are those of timm's forward pass, frame by frame."""
    torch.manual_seed(5)
    state = dino(blocks=2)
    torch.save(state, tmp_path / "dino.pth")
    encoder = load_image_encoder(tmp_path / "dino.pth", 2)
    import timm

    vit = timm.create_model("vit_base_patch8_224.dino", pretrained=False, num_classes=0, depth=2).eval()
    vit.load_state_dict(state)
    rgb, needed = torch.rand(3, 3, 224, 224), torch.zeros(3, 784, dtype=torch.bool)
    needed[0, 5:9] = needed[2, 700:] = True
    with torch.no_grad():
        expected = vit.forward_features((rgb - encoder.mean) / encoder.std)[:, 1:]
        every, some = encoder(rgb), encoder(rgb, needed)
    torch.testing.assert_close(every, expected.flatten(0, 1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(some, expected[needed], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("blocks", "group_size"), [(3, 128), (0, 128), (12, 64)])
def test_variants_that_do_not_exist_are_refused(blocks: int, group_size: int, weights: Path) -> None:
    """Other cuts and group sizes than those of the paper and its checkpoints are refused."""
    with pytest.raises(ValueError, match="must be one of"):
        PaperExtractor(weights, blocks, group_size)


def test_deeper_cut_than_the_file_is_refused(weights: Path) -> None:
    """A file with fewer blocks than requested is refused with a missing key."""
    with pytest.raises(WeightsError, match=r"keys are missing \(.*blocks\.1\."):
        PaperExtractor(weights, blocks=4)


@pytest.mark.parametrize("other", [{"dim": 384}, {"patch": 16}])
def test_other_vision_transformers_are_refused(other: dict[str, int], tmp_path: Path) -> None:
    """ViT-S and patches of 16 are refused with key and shape."""
    torch.save(dino(**other), tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match=r"dino\.pth: '[a-z_.]+' must have shape \(.*\), found \("):
        load_image_encoder(tmp_path / "dino.pth", 1)


def test_other_point_encoders_are_refused(tmp_path: Path) -> None:
    """A checkpoint with another mini-PointNet, and DINO in place of Point-MAE, are refused by name."""
    state = point_mae()
    state["encoder.first_conv.0.weight"] = torch.randn(128, 6, 1)
    torch.save(published(state), tmp_path / "pretrain.pth")
    with pytest.raises(
        WeightsError, match=r"first_conv\.0\.weight' must have shape \(128, 3, 1\), found \(128, 6"
    ):
        load_point_encoder(tmp_path / "pretrain.pth", 1)
    torch.save(dino(), tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match=r"dino\.pth: .* keys are missing \(module\.MAE_encoder\."):
        load_point_encoder(tmp_path / "dino.pth", 1)


@pytest.mark.parametrize("prefix", ["module.MAE_encoder.", "MAE_encoder.", ""])
def test_point_encoder_loads_with_and_without_its_prefixes(prefix: str, tmp_path: Path) -> None:
    """The numbers are the same with every prefix of the checkpoint's keys."""
    torch.manual_seed(4)
    state = point_mae()
    torch.save(published(state, prefix), tmp_path / "w.pth")
    encoder = load_point_encoder(tmp_path / "w.pth", 1)
    x = torch.randn(3, 384)
    fc1 = "blocks.blocks.0.mlp.fc1"
    expected = F.gelu(F.linear(x, state[f"{fc1}.weight"], state[f"{fc1}.bias"]))
    torch.testing.assert_close(encoder.blocks[0].get_submodule("mlp.fc1")(x), expected)


def test_mini_pointnet_with_folded_norms_equals_the_layers_as_published(tmp_path: Path) -> None:
    """Tokens are those of the published layers: convolution, norm, ReLU, convolution, maximum, twice."""
    torch.manual_seed(8)
    w = point_mae()
    torch.save(published(w), tmp_path / "w.pth")
    offsets = torch.randn(200, 32, 3)

    def stage(x: Tensor, conv: str) -> Tensor:
        key = f"encoder.{conv}"
        y = F.conv1d(x, w[f"{key}.0.weight"], w[f"{key}.0.bias"])
        mean, var, scale, shift = (
            w[f"{key}.1.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return F.conv1d(
            F.relu(F.batch_norm(y, mean, var, scale, shift)), w[f"{key}.3.weight"], w[f"{key}.3.bias"]
        )

    f = stage(offsets.transpose(1, 2), "first_conv")
    expected = stage(torch.cat([f.amax(2, keepdim=True).expand_as(f), f], 1), "second_conv").amax(2)
    found = load_point_encoder(tmp_path / "w.pth", 1).mini_pointnet(offsets)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("blocks", "width"), [(1, 384), (4, 1152), (8, 1152), (12, 1152)])
def test_taps_make_the_width(blocks: int, width: int, tmp_path: Path) -> None:
    """Three taps lie side by side, the last of the last kept block. With one block the width is 384."""
    torch.save(published(point_mae(blocks)), tmp_path / "w.pth")
    encoder = load_point_encoder(tmp_path / "w.pth", blocks)
    tokens = encoder(Groups(torch.randn(2, 20, 3), torch.randn(2, 20, 32, 3)))
    assert tokens.shape == (2, 20, encoder.width) == (2, 20, width)
    assert TAPS[blocks][-1] == blocks
