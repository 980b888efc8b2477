"""Preparing frames: real captures, made-up scenes, padding, resizing, validity."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cmfm_worker.cfm.prepare import BackgroundOptions, plane_height, prepare, square_pad_offsets

KEEP_ALL = BackgroundOptions(method="none")


def blank(height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    """A grey picture of a plane half a metre away, a millimetre a pixel at a width of 224."""
    rgb = torch.full((batch, height, width, 3), 128, dtype=torch.uint8)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pitch = 0.224 / width
    across, along = (x + 0.5) * pitch - 0.112, (y + 0.5) * pitch - 0.112
    return rgb, torch.stack([across, along, torch.full((height, width), 0.5)], -1).repeat(batch, 1, 1, 1)


def with_part(height_m: float = 0.02) -> tuple[Tensor, Tensor]:
    """A tray with a block over the pixels 80-140 of both axes."""
    rgb, xyz = blank(224, 224)
    xyz[:, 80:140, 80:140, 2] -= height_m
    return rgb, xyz


def label_224(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A label image on the grid of the prepared frame."""
    height, width = label.shape
    top, left, side = square_pad_offsets(height, width)
    square = np.zeros((side, side), np.uint8)
    square[top : top + height, left : left + width] = label
    index = np.arange(224) * side // 224
    return square[index][:, index]


def real_frames(shared: Path) -> Iterator[tuple[str, Tensor, Tensor, NDArray[np.uint8]]]:
    """Name, rgb (1, H, W, 3), xyz (1, H, W, 3) and the label on the grid of every real capture."""
    for file in sorted((shared / "real_frames" / "rgb").glob("*.png")):
        rgb = torch.from_numpy(np.array(Image.open(file)))
        xyz = torch.from_numpy(tifffile.imread(shared / "real_frames" / "xyz" / f"{file.stem}.tiff"))
        label = np.array(Image.open(shared / "real_frames" / "label" / file.name))
        yield file.stem, rgb[None], xyz[None], label_224(label)


def test_real_captures_keep_their_objects_and_lose_their_table(shared: Path) -> None:
    """At 1 cm, 93 % of every frame's object pixels are kept (97 % in the mean), and 97 % of the table is removed."""
    options = BackgroundOptions(plane_distance_m=0.01, clusters="all")
    kept = []
    for name, rgb, xyz, label in real_frames(shared):
        prepared = prepare(rgb, xyz, options)
        foreground, valid = prepared.foreground[0].numpy(), prepared.valid[0].numpy()
        kept.append(foreground[(label >= 20) & valid].mean())
        assert kept[-1] >= 0.93, name
        assert foreground[(label == 1) | (label == 2)].mean() <= 0.03, name
    assert len(kept) == 8
    assert np.mean(kept) >= 0.97


def test_frame_without_background_is_unchanged(shared: Path) -> None:
    """The golden frames pass the default options unchanged and have no plane."""
    files = sorted((shared / "golden").glob("dev_l12_g128_*.npz"))
    assert files
    for file in files:
        with np.load(file) as golden:
            rgb, xyz = torch.from_numpy(golden["rgb"]), torch.from_numpy(golden["xyz"])
        prepared = prepare(rgb[None], xyz[None], BackgroundOptions())
        assert torch.equal(prepared.xyz[0].permute(1, 2, 0), xyz)
        assert torch.equal(prepared.rgb[0].permute(1, 2, 0), rgb / 255)
        assert prepared.plane.isnan().all()


def test_a_flat_part_without_background_is_not_taken_for_a_tray() -> None:
    """A block whose surroundings were removed is kept whole."""
    rgb, xyz = with_part()
    alone = xyz[..., 2:] < 0.49
    prepared = prepare(rgb, torch.where(alone, xyz, 0.0), BackgroundOptions())
    assert torch.equal(prepared.foreground, alone[..., 0])


def test_the_part_is_what_stands_on_the_tray() -> None:
    """The block is kept, the tray is removed, and the plane is the tray's."""
    rgb, xyz = with_part()
    prepared = prepare(rgb, xyz, BackgroundOptions())
    assert torch.equal(prepared.foreground, xyz[..., 2] < 0.49)
    assert prepared.valid.all()
    assert prepared.plane[0].tolist() == pytest.approx([0.0, 0.0, -1.0, 0.5], abs=1e-5)
    assert (prepared.xyz[:, :, 0, 0] == 0).all()
    assert torch.equal(prepared.xyz[0, :, 100, 100], xyz[0, 100, 100])


def test_points_below_the_tray_are_removed() -> None:
    """A reflection 3 cm below the tray is background."""
    rgb, xyz = with_part()
    xyz[:, 20:50, 20:50, 2] += 0.03
    prepared = prepare(rgb, xyz, BackgroundOptions(clusters="all"))
    assert torch.equal(prepared.foreground, xyz[..., 2] < 0.49)


def test_a_component_stays_with_its_board_though_its_walls_were_not_seen() -> None:
    """A chip 1.5 cm above its board, with two missing pixels around it, belongs to the part."""
    rgb, xyz = with_part()
    xyz[:, 98:122, 98:122] = torch.nan
    chip = torch.zeros(1, 224, 224, dtype=torch.bool)
    chip[:, 100:120, 100:120] = True
    _, whole = with_part(0.035)
    xyz[chip] = whole[chip]
    prepared = prepare(rgb, xyz, BackgroundOptions())
    assert (prepared.foreground | ~chip).all()


def test_a_neighbour_goes_with_largest_and_stays_with_all() -> None:
    """A second, smaller object on the tray is removed by default."""
    rgb, xyz = with_part()
    xyz[:, 180:200, 180:200, 2] -= 0.02
    default = prepare(rgb, xyz, BackgroundOptions()).foreground
    everything = prepare(rgb, xyz, BackgroundOptions(clusters="all")).foreground
    assert int(default.sum()) == 60 * 60
    assert int(everything.sum()) == 60 * 60 + 20 * 20


def test_without_background_removal_every_measured_point_is_foreground() -> None:
    """Method "none" keeps tray, neighbours and specks."""
    rgb, xyz = with_part()
    xyz[:, :50] = 0.0
    xyz[:, 3, 3] = 0.4
    prepared = prepare(rgb, xyz, KEEP_ALL)
    assert torch.equal(prepared.foreground, prepared.valid)
    assert torch.equal(prepared.valid, (xyz != 0).any(-1))
    assert prepared.plane.isnan().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("method", ["ransac", "none"])
def test_points_that_are_not_finite_are_invalid(bad: float, method: str) -> None:
    """One coordinate that is not finite makes a point invalid and 0, and changes nothing else."""
    rgb, xyz = with_part()
    xyz[:, 90:95, 90:95, 0] = bad
    xyz[:, 0:40, :, 2] = bad
    prepared = prepare(rgb, xyz, BackgroundOptions(method="none" if method == "none" else "ransac"))
    assert prepared.xyz.isfinite().all()
    assert torch.equal(prepared.valid, xyz.isfinite().all(-1))
    assert int(prepared.foreground[:, 80:140, 80:140].sum()) == 60 * 60 - 25


def test_taught_plane_is_used_where_none_could_be_found() -> None:
    """A part that fills the picture hides its tray: a taught plane keeps the whole part, a plane fit removes its
    top.
    """
    rgb, xyz = blank(224, 224, batch=2)
    xyz[..., 2] -= 0.02
    fixed = BackgroundOptions(method="fixed", plane=(0.0, 0.0, -1.0, 0.5))
    prepared = prepare(rgb, xyz, fixed)
    assert prepared.foreground.all()
    assert torch.equal(prepared.plane, torch.tensor([[0.0, 0.0, -1.0, 0.5]] * 2))
    assert not prepare(rgb, xyz, BackgroundOptions()).foreground.any()


def test_taught_plane_agrees_with_the_one_found() -> None:
    """On a frame that shows its tray, a taught plane and a found plane give the same part."""
    rgb, xyz = with_part()
    found = prepare(rgb, xyz, BackgroundOptions())
    a, b, c, d = found.plane[0].tolist()
    taught = prepare(rgb, xyz, BackgroundOptions(method="fixed", plane=(a, b, c, d)))
    assert torch.equal(taught.foreground, found.foreground)


def test_a_point_on_an_axis_is_valid() -> None:
    """A point with one or two zero coordinates is valid; only (0, 0, 0) means that nothing was measured."""
    rgb, xyz = blank(224, 224)
    xyz[:, 10, 10] = torch.tensor([0.0, 0.0, 0.5])
    xyz[:, 20, 20] = 0.0
    valid = prepare(rgb, xyz, KEEP_ALL).valid
    assert valid[0, 10, 10]
    assert not valid[0, 20, 20]


@pytest.mark.parametrize(("height", "width"), [(100, 224), (224, 100), (37, 224)])
def test_a_frame_is_padded_to_a_centred_square(height: int, width: int) -> None:
    """The picture's edge is repeated outwards; points are not, because nothing was measured there."""
    rgb, xyz = blank(height, width)
    rgb[0] = torch.randint(0, 256, rgb.shape[1:], generator=torch.Generator().manual_seed(1))
    top, left, side = square_pad_offsets(height, width)
    prepared = prepare(rgb, xyz, KEEP_ALL)
    picture, valid = prepared.rgb[0].permute(1, 2, 0), prepared.valid[0]
    assert side == 224
    assert torch.equal(picture[top : top + height, left : left + width], rgb[0] / 255)
    assert torch.equal(picture[0, 0], rgb[0, 0, 0] / 255)
    assert torch.equal(picture[-1, -1], rgb[0, -1, -1] / 255)
    assert torch.equal(prepared.xyz[0, :, top : top + height, left : left + width].permute(1, 2, 0), xyz[0])
    assert int(valid.sum()) == height * width
    assert valid[top : top + height, left : left + width].all()


@pytest.mark.parametrize("side", [64, 225, 400, 641, 800])
def test_points_are_taken_from_the_nearest_pixel(side: int) -> None:
    """The points are those of torch's nearest resize, never interpolated."""
    noise = torch.Generator().manual_seed(side)
    xyz = torch.rand(1, side, side, 3, generator=noise) + 0.1
    rgb = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    expected = torch.nn.functional.interpolate(xyz.permute(0, 3, 1, 2), (224, 224), mode="nearest")
    assert torch.equal(prepare(rgb, xyz, KEEP_ALL).xyz, expected)


def test_the_picture_stays_within_its_range() -> None:
    """A resized picture keeps a constant colour and does not overshoot at hard edges."""
    rgb, xyz = blank(400, 400)
    assert prepare(rgb, xyz, KEEP_ALL).rgb.sub(128 / 255).abs().max() < 1e-6
    rgb[:, 100:200] = 255
    rgb[:, 200:] = 0
    picture = prepare(rgb, xyz, KEEP_ALL).rgb
    assert picture.min() == 0.0
    assert picture.max() == 1.0


def test_a_fine_pattern_becomes_grey() -> None:
    """The picture is antialiased: stripes too fine for 224 pixels do not become coarse ones."""
    rgb, xyz = blank(896, 896)
    rgb[:, :, ::2] = 0
    rgb[:, :, 1::2] = 255
    assert prepare(rgb, xyz, KEEP_ALL).rgb.sub(0.5).abs().max() < 0.05


def test_a_batch_is_prepared_as_its_frames_alone() -> None:
    """Every field of every frame is bit for bit the same alone and in a batch."""
    frames = [with_part(0.02), with_part(0.004), blank(224, 224)]
    frames[2][1].zero_()
    rgb, xyz = (torch.cat(arrays) for arrays in zip(*frames, strict=True))
    together = prepare(rgb, xyz, BackgroundOptions())
    for one, frame in enumerate(frames):
        alone = prepare(*frame, BackgroundOptions())
        for field in ("rgb", "xyz", "foreground", "valid", "plane", "surroundings"):
            expected = getattr(alone, field)[0]
            torch.testing.assert_close(
                getattr(together, field)[one], expected, rtol=0, atol=0, equal_nan=True
            )


def test_height_over_the_tray() -> None:
    """A block 2 cm high has a height of 2 cm everywhere, and nothing else has a height."""
    rgb, xyz = with_part(0.02)
    prepared = prepare(rgb, xyz, BackgroundOptions())
    height = plane_height(prepared)
    assert height[prepared.foreground].sub(0.02).abs().max() < 1e-5
    assert (height[~prepared.foreground] == 0).all()


def test_height_without_a_tray_is_over_the_median_level() -> None:
    """Without a tray, a bump of 3 mm on a flat part is 3 mm high, and the rest is 0."""
    rgb, xyz = with_part(0.02)
    xyz = torch.where(xyz[..., 2:] < 0.49, xyz, 0.0)
    xyz[:, 100:110, 100:110, 2] -= 0.003
    height = plane_height(prepare(rgb, xyz, BackgroundOptions()))
    assert height[0, 105, 105].item() == pytest.approx(0.003, abs=1e-6)
    assert height[0, 85, 85].item() == pytest.approx(0.0, abs=1e-6)
    assert height.isfinite().all()


def test_frame_without_points_has_no_foreground() -> None:
    """A frame without points has an empty foreground and heights of 0, without an error or NaN."""
    rgb, xyz = blank(300, 300)
    prepared = prepare(rgb, torch.full_like(xyz, torch.nan), BackgroundOptions())
    assert not prepared.foreground.any()
    assert not prepared.valid.any()
    assert (plane_height(prepared) == 0).all()


@pytest.mark.gpu
def test_cuda_prepares_the_same_without_waiting(shared: Path) -> None:
    """On CUDA the foreground and the picture are the same, and nothing synchronises the device."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    options = BackgroundOptions(plane_distance_m=0.01)
    for name, rgb, xyz, _ in real_frames(shared):
        expected = prepare(rgb, xyz, options)
        on_device = rgb.cuda(), xyz.cuda()
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = prepare(*on_device, options)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert (found.foreground.cpu() != expected.foreground).float().mean() < 1e-3, name
        torch.testing.assert_close(found.plane.cpu(), expected.plane, rtol=0, atol=1e-3)
        torch.testing.assert_close(found.rgb.cpu(), expected.rgb, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("rgb", "xyz", "message"),
    [
        (torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8, 3), "rgb must be torch.uint8"),
        (torch.zeros(1, 8, 8, 3).byte(), torch.zeros(1, 8, 8, 3).double(), "xyz must be torch.float32"),
        (torch.zeros(8, 8, 3).byte(), torch.zeros(8, 8, 3), "rgb must be"),
        (torch.zeros(1, 3, 8, 8).byte(), torch.zeros(1, 3, 8, 8), "rgb must be"),
        (torch.zeros(0, 8, 8, 3).byte(), torch.zeros(0, 8, 8, 3), "rgb must be"),
        (torch.zeros(1, 8, 8, 3).byte(), torch.zeros(1, 8, 9, 3), "not of one size"),
        (torch.zeros(2, 8, 8, 3).byte(), torch.zeros(1, 8, 8, 3), "not of one size"),
    ],
)
def test_other_arrays_are_refused(rgb: Tensor, xyz: Tensor, message: str) -> None:
    """The message says which array is wrong and what it should be."""
    with pytest.raises(ValueError, match=message):
        prepare(rgb, xyz, BackgroundOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "border"}, "method must be 'ransac', 'fixed' or 'none'"),
        ({"clusters": "two"}, "clusters must be 'largest' or 'all'"),
        ({"plane_distance_m": 0.0}, "plane_distance_m must be positive"),
        ({"plane_distance_m": float("nan")}, "plane_distance_m must be positive"),
        ({"method": "fixed"}, "'fixed' needs a plane"),
        ({"plane": (0.0, 0.0, -1.0, 0.5)}, "no other method takes one"),
        ({"method": "fixed", "plane": (0.0, 0.0, -2.0, 0.5)}, "unit normal"),
    ],
)
def test_other_options_are_refused(options: dict[str, Any], message: str) -> None:
    """A mistyped option is an error that names the choices."""
    with pytest.raises(ValueError, match=message):
        BackgroundOptions(**options)
