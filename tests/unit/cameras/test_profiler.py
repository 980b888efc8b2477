"""A line-scan profiler's rows become frames: belt, framing, grid, and what a worker decodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.made.published_camera import published

from cmfm_cameras.adapters import profiler
from cmfm_cameras.capture import Capture
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError, SourceEndedError
from cmfm_cameras.profiler.belt import Belt
from cmfm_cameras.profiler.file_rows import read_block, write_block
from cmfm_cameras.profiler.profiles import Profiles
from cmfm_cameras.settings.profiler import ProfilerSection
from cmfm_protocol.files.dataset_error import DatasetError

UM_PER_COUNT = 10.0
ROW_COUNTS = 20
PITCH_M = 2e-4
POINTS = 260
Surface = Callable[[NDArray[np.float64], float], NDArray[np.float64]]


def plane(x_m: NDArray[np.float64], y_m: float) -> NDArray[np.float64]:
    """Distance of a tilted plane at a place of the belt."""
    return 0.3 + 0.35 * x_m - 0.2 * y_m


def cube(x_m: NDArray[np.float64], y_m: float) -> NDArray[np.float64]:
    """A cube of 12 mm on a flat belt, its first edge 10 mm along it."""
    on_top = (np.abs(x_m) < 0.006) & (y_m > 0.010) & (y_m < 0.022)
    return np.where(on_top, 0.288, 0.3)


def block(
    encoders: Sequence[int],
    surface: Surface = plane,
    *,
    bits: int = 32,
    row_ids: Sequence[int] | None = None,
    start: Callable[[float], bool] = lambda y_m: False,
) -> Profiles:
    """Profiles at counts of the encoder. A profile's points lie closer together where the surface is nearer."""
    places = np.array(encoders) * UM_PER_COUNT * 1e-6
    angle = (np.arange(POINTS) - POINTS / 2 + 0.37) * 7.3e-4
    x_m, z_m = np.zeros((len(places), POINTS)), np.zeros((len(places), POINTS))
    for row, y_m in enumerate(places.tolist()):
        x = np.asarray(angle * 0.3, np.float64)
        for _ in range(60):  # the point of a ray on the surface
            x = np.asarray(angle * surface(x, y_m), np.float64)
        x_m[row], z_m[row] = x, surface(x, y_m)
    return Profiles(
        x_m.astype(np.float32),
        z_m.astype(np.float32),
        np.clip(40 + 5000 * (x_m + 0.02), 0, 255).astype(np.uint8),
        np.array(encoders, np.int64) % 2**bits,
        np.array(row_ids, np.int64) if row_ids is not None else None,
        np.array([start(float(y_m)) for y_m in places]),
    )


def section(**keys: object) -> ProfilerSection:
    """Frames of 20 mm × 30 mm at 0.2 mm, a profile each 0.2 mm."""
    defaults: dict[str, object] = {
        "source": "files",
        "path": Path(),
        "um_per_count": UM_PER_COUNT,
        "row_counts": ROW_COUNTS,
        "pitch_mm": PITCH_M * 1000,
        "length_mm": 20.0,
        "left_mm": -15.0,
        "width_mm": 30.0,
        "start": "continuous",
    }
    return ProfilerSection.model_validate(defaults | keys)


class Blocks:
    """A row source of given blocks."""

    name = "blocks"

    def __init__(self, *blocks: Profiles | Exception) -> None:
        self._blocks = list(blocks)

    def profiles(self, timeout_s: float) -> Profiles | None:
        block = self._blocks.pop(0) if self._blocks else SourceEndedError("no more")
        if isinstance(block, Exception):
            raise block
        return block

    def close(self) -> None:
        """Nothing is open."""


def frames(
    *blocks: Profiles | Exception, **keys: object
) -> tuple[list[Capture | RefusedCaptureError], profiler.ProfilerDevice]:
    """Every frame and refusal that the blocks make."""
    device = profiler.ProfilerDevice(Blocks(*blocks), section(**keys))
    found: list[Capture | RefusedCaptureError] = []
    while True:
        try:
            capture = device.capture(1.0)
        except RefusedCaptureError as error:
            found.append(error)
        except (SourceEndedError, DeviceError):
            return found, device
        else:
            found += [capture] if capture is not None else []


def captures(*blocks: Profiles, **keys: object) -> list[Capture]:
    found, _ = frames(*blocks, **keys)
    assert all(isinstance(frame, Capture) for frame in found)
    return [frame for frame in found if isinstance(frame, Capture)]


def grid_error_m(capture: Capture, surface: Surface, top_m: float) -> tuple[float, float]:
    """How far z is from the surface at the grid's places, and x and y from those places, at most."""
    rows, columns = capture.xyz.shape[:2]
    x = np.linspace(-0.015, -0.015 + (columns - 1) * PITCH_M, columns)
    truth = np.stack([surface(x, top_m + row * PITCH_M) for row in range(rows)])
    y = (np.arange(rows) - (rows - 1) / 2) * PITCH_M
    places = np.maximum(np.abs(capture.xyz[..., 0] - x), np.abs(capture.xyz[..., 1] - y[:, None]))
    return float(np.nanmax(np.abs(capture.xyz[..., 2] - truth))), float(np.nanmax(places))


def test_a_tilted_plane_comes_out_on_a_square_grid() -> None:
    """Points to a micrometre and places to a tenth of a pixel, from profiles whose points lie unevenly."""
    (capture,) = captures(block(range(0, 2040, ROW_COUNTS)))
    assert capture.rgb.shape == capture.xyz.shape == (100, 150, 3)
    error_m, place_m = grid_error_m(capture, plane, 0.0)
    assert error_m < 1e-6
    assert place_m < PITCH_M / 10
    assert not np.isnan(capture.xyz).any()
    x = -0.015 + np.arange(150) * PITCH_M
    np.testing.assert_allclose(
        capture.rgb[50, :, 0], 40 + 5000 * (x + 0.02), atol=1.5
    )  # colour is registered too


@pytest.mark.parametrize("step", [13, 20, 27])
def test_rows_at_uneven_places_are_put_in_place(step: int) -> None:
    """The encoder places a row, not its number: rows between grid lines are interpolated."""
    rng = np.random.default_rng(2)
    counts = np.cumsum(rng.integers(step - 5, step + 3, 250)).tolist()
    (capture, *_) = captures(block(counts))
    error_m, _ = grid_error_m(capture, plane, counts[0] * UM_PER_COUNT * 1e-6)
    assert error_m < 1e-6


def test_a_cube_has_sharp_edges_and_its_size() -> None:
    """No point lies between top and belt, and the top has 60 × 60 pixels but for its edge."""
    (capture,) = captures(block(range(0, 3020, ROW_COUNTS), cube), length_mm=30.0)
    z = capture.xyz[..., 2]
    on_top, on_belt = np.abs(z - 0.288) < 1e-6, np.abs(z - 0.3) < 1e-6
    np.testing.assert_array_equal(on_top | on_belt | np.isnan(z), True)
    assert 57 * 57 <= on_top.sum() <= 61 * 61
    rows, columns = np.nonzero(on_top)
    assert (rows.min(), rows.max()) == pytest.approx((50.5, 109.5), abs=3)
    assert (columns.min(), columns.max()) == pytest.approx((45.5, 104.5), abs=3)


def test_lost_rows_are_nan_and_counted() -> None:
    """Rows 30 to 34 are lost on the way: their lines are NaN, all others exact, and nothing is shifted."""
    every = list(range(0, 2040, ROW_COUNTS))
    kept = [(count, number) for number, count in enumerate(every) if not 30 <= number < 35]
    found, device = frames(block([count for count, _ in kept], row_ids=[number for _, number in kept]))
    (capture,) = found
    assert isinstance(capture, Capture)
    missing = np.isnan(capture.xyz[..., 2]).all(axis=1)
    assert np.flatnonzero(missing).tolist() == [30, 31, 32, 33, 34]
    assert grid_error_m(capture, plane, 0.0)[0] < 1e-6
    assert device.counts["rows_lost"] == 5
    assert device.counts["rows_too_fast"] == 0


def test_a_belt_that_is_too_fast_is_counted() -> None:
    """The sensor numbers its rows without a gap, and they lie two spacings apart: it could not follow."""
    counts = [*range(0, 1000, ROW_COUNTS), *range(1000, 2040, 2 * ROW_COUNTS)]
    found, device = frames(block(counts, row_ids=range(len(counts))))
    (capture,) = found
    assert isinstance(capture, Capture)
    assert device.counts["rows_too_fast"] == 25
    assert device.counts["rows_lost"] == 0
    assert np.isnan(capture.xyz[51:99:2, :, 2]).all()
    assert not np.isnan(capture.xyz[:50]).any()


def test_a_belt_that_runs_back_and_on_loses_nothing() -> None:
    """Rows of places that were seen are dropped, also while it stands; the frame is the same as without."""
    counts = [*range(0, 1000, 20), *[980] * 7, *range(980, 400, -20), *range(420, 2040, 20)]
    found, device = frames(block(counts))
    (capture,) = found
    assert isinstance(capture, Capture)
    assert not np.isnan(capture.xyz).any()
    assert grid_error_m(capture, plane, 0.0)[0] < 1e-6
    assert device.counts["rows_reversed"] > 50
    assert device.counts["rows_standing"] >= 7


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_an_encoder_that_rolls_over_is_no_jump(bits: int, direction: str) -> None:
    """The counter passes its highest or lowest value in the middle of the frame."""
    sign = 1 if direction == "up" else -1
    first = 2**bits - 1000 if direction == "up" else 1000
    rows = block(range(0, 2040, ROW_COUNTS))
    raw = (first + sign * rows.encoder) % 2**bits
    moved = Profiles(rows.x_m, rows.z_m, rows.grey, raw)
    (capture,) = captures(moved, encoder_bits=bits, direction=direction)
    assert grid_error_m(capture, plane, 0.0)[0] < 1e-6
    assert not np.isnan(capture.xyz).any()


def test_an_encoder_that_is_reset_gives_the_frame_up() -> None:
    """The frame that was begun is a refused trigger; the next one begins where the count does."""
    found, device = frames(block(range(900_000, 901_000, 20)), block(range(0, 2040, 20)))
    refused, capture = found
    assert isinstance(refused, RefusedCaptureError)
    assert "started anew" in str(refused)
    assert (refused.frame_id, device.counts["rows_restarted"]) == (1, 1)
    assert isinstance(capture, Capture)
    assert capture.frame_id == 2
    assert grid_error_m(capture, plane, 0.0)[0] < 1e-6


def parts(y_m: float) -> bool:
    """The photo-eye sees parts of 8 mm at 6, 35 and 47 mm."""
    return any(first <= y_m < first + 0.008 for first in (0.006, 0.035, 0.047))


def test_a_start_signal_begins_each_frame() -> None:
    """Three parts, three frames, the last two of which overlap; each begins 2 mm before its signal."""
    found = captures(block(range(0, 7000, 20), start=parts), start="signal", before_mm=2.0)
    assert [capture.encoder for capture in found] == pytest.approx([400, 3300, 4500], abs=20)
    assert [capture.frame_id for capture in found] == [1, 2, 3]
    for capture in found:
        assert capture.encoder is not None
        assert grid_error_m(capture, plane, capture.encoder * 1e-5)[0] < 1e-6
        assert not np.isnan(capture.xyz[1:]).any()


def test_a_frame_may_begin_after_its_signal() -> None:
    """The eye is upstream: the frame begins 8 mm behind the edge, in whatever blocks the rows come."""
    blocks = [block(range(first, first + 200, 20), start=parts) for first in range(0, 7000, 200)]
    found, _ = frames(*blocks, start="signal", before_mm=-8.0)
    made = [frame for frame in found if isinstance(frame, Capture)]
    assert [capture.encoder for capture in made] == pytest.approx([1400, 4300], abs=20)
    for capture in made:
        assert capture.encoder is not None
        assert grid_error_m(capture, plane, capture.encoder * 1e-5)[0] < 1e-6
        assert not np.isnan(capture.xyz[1:]).any()
    assert [type(frame).__name__ for frame in found[2:]] == [
        "RefusedCaptureError"
    ]  # the last part's frame has no end


def test_a_part_that_passes_the_eye_twice_is_one_frame() -> None:
    """The belt runs back past the eye and on again: the second edge is of the same part."""
    counts = [*range(0, 800, 20), *range(800, 300, -20), *range(320, 3400, 20)]
    found = captures(block(counts, start=parts), start="signal")
    assert [capture.encoder for capture in found] == pytest.approx([600], abs=20)


def test_frames_that_were_begun_when_the_device_goes_are_triggers() -> None:
    """Each part that the eye has seen is accounted for, and then the device is opened again."""
    lost = DeviceError("cable")
    found, device = frames(block(range(0, 5000, 20), start=parts), lost, start="signal")
    assert [type(item).__name__ for item in found] == [
        "Capture",
        "RefusedCaptureError",
        "RefusedCaptureError",
    ]
    assert "cable" in str(found[1])
    with pytest.raises(DeviceError, match="cable"):
        device.capture(0.1)


def test_a_refused_block_is_rows_and_no_part() -> None:
    """Its rows are missing in the frame; it uses no number of its own."""
    bad = RefusedCaptureError(Refusal.INCOMPLETE, "no encoder")
    found, device = frames(block(range(0, 1000, 20)), bad, block(range(1200, 2040, 20)))
    (capture,) = found
    assert isinstance(capture, Capture)
    assert np.isnan(capture.xyz[51:59]).all()
    assert not np.isnan(capture.xyz[60:]).any()
    assert device.counts["blocks_refused"] == 1


def test_continuous_frames_overlap() -> None:
    """A part at the end of one frame is whole in the next."""
    found = captures(block(range(0, 6000, 20)), overlap_mm=5.0)
    assert [capture.encoder for capture in found] == [0, 1500, 3000]
    for capture in found:
        assert capture.encoder is not None
        assert grid_error_m(capture, plane, capture.encoder * 1e-5)[0] < 1e-6


def test_points_across_a_gap_are_not_invented() -> None:
    """A shadow in the profile stays a gap."""
    rows = block(range(0, 2040, ROW_COUNTS))
    rows.z_m[:, 120:135] = np.nan
    (capture,) = captures(rows)
    gap = np.isnan(capture.xyz[..., 2])
    x = rows.x_m[0]
    inside = (-0.015 + np.arange(150) * PITCH_M > x[119]) & (-0.015 + np.arange(150) * PITCH_M < x[135])
    np.testing.assert_array_equal(gap[0], inside)


def test_a_worker_decodes_the_frames(tmp_path: Path) -> None:
    """From files through the publisher: colour and points of each frame, with the encoder's place."""
    for number in range(6):
        write_block(tmp_path / f"{number}.npz", block(range(number * 1000, (number + 1) * 1000, 20)))
    keys = section(path=tmp_path)
    with published(lambda: profiler.open_device(keys)) as listening:
        received = listening.until(lambda heard: len(heard.frames) == 2)
    assert [frame.header.encoder for frame in received.frames] == [0, 2000]
    frame = received.frames[1]
    truth = 0.3 + 0.35 * frame.xyz[..., 0] - 0.2 * (0.02 + np.arange(100) * PITCH_M)[:, None]
    np.testing.assert_allclose(frame.xyz[..., 2], truth, atol=1e-6)


def test_the_belt_counts_by_itself() -> None:
    """The rules, one row at a time."""
    belt = Belt(bits=16, direction=1, row_counts=10, most_counts=1000)
    places = [belt.place(count % 65536, None) for count in (65_530, 65_540, 65_540, 65_535, 65_550, 65_580)]
    assert [placed and placed.counts for placed in places] == [0, 10, None, None, 20, 50]
    counts = belt.counts
    assert (counts.standing, counts.reversed, counts.lost, counts.too_fast) == (1, 1, 0, 2)
    placed = belt.place(30_000, None)
    assert placed is not None
    assert placed.restarted


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"length_mm": 5000.0}, "pixels"),
        ({"overlap_mm": 20.0}, "overlap_mm"),
        ({"before_mm": 30.0}, "before_mm"),
        ({"z": "height"}, "standoff_mm"),
        ({"row_counts": 10_000}, "ten pixels"),
    ],
)
def test_settings_that_cannot_be(keys: dict[str, object], word: str) -> None:
    """The message names the key."""
    with pytest.raises(ValueError, match=word):
        section(**keys)


def test_damaged_blocks_are_named(tmp_path: Path) -> None:
    """A torn file, and an array of another shape."""
    with pytest.raises(InputError, match="path"):
        profiler.check(section(path=None))
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK\x03\x04torn")
    with pytest.raises(DatasetError, match="torn"):
        read_block(path)
    rows = block(range(0, 100, 20))
    np.savez(path, x_m=rows.x_m, z_m=rows.z_m[:, :-1], grey=rows.grey, encoder=rows.encoder)
    with pytest.raises(DatasetError, match="x_m is"):
        read_block(path)
    np.savez(path, x_m=rows.x_m, z_m=rows.z_m, encoder=rows.encoder)
    with pytest.raises(DatasetError, match="no array grey"):
        read_block(path)
