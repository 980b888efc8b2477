"""A GenICam device as one of two devices, and as a profiler, on MVTec's simulated producer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("genicam") is None or importlib.util.find_spec("harvesters") is None:
    pytest.skip("needs the extra genicam", allow_module_level=True)

from tests.unit.made.scripted_device import next_capture

from cmfm_cameras.adapters import genicam, profiler
from cmfm_cameras.errors import InputError
from cmfm_cameras.gentl.harvester import loaded
from cmfm_cameras.gentl.producers import producers
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_cameras.settings.profiler import ProfilerSection

VIKY, RED = ("viky",), "VikyTL_DEV_red"


@pytest.mark.parametrize("content", ["picture", "points"])
def test_a_device_gives_its_half(content: str) -> None:
    """A 2D camera gives no points, a sensor without picture no colour; both count."""
    section = GenicamSection.model_validate({"producers": VIKY, "device": RED, "content": content})
    device = genicam.open_device(section)
    try:
        first, second = next_capture(device), next_capture(device)
    finally:
        device.close()
    sizes = (first.rgb.size > 0, first.xyz.size > 0)
    assert sizes == ((True, False) if content == "picture" else (False, True))
    assert first.frame_id is not None
    assert second.frame_id is not None
    assert second.frame_id > first.frame_id


def test_two_devices_of_one_producer_run_together() -> None:
    """GenTL initialises a producer once a process: both share it, and one that is closed and opened again is there."""
    sections = [
        GenicamSection.model_validate({"producers": VIKY, "device": device, "content": content})
        for device, content in ((RED, "picture"), ("VikyTL_DEV_green", "points"))
    ]
    first, second = (genicam.open_device(section) for section in sections)
    try:
        assert next_capture(first).rgb.size
        assert next_capture(second).xyz.size
        first.close()
        assert next_capture(second).xyz.size
        first = genicam.open_device(sections[0])
        assert next_capture(first).rgb.size
        with (
            pytest.raises(InputError, match="name the same producers"),
            loaded([*producers(sections[0]), Path("/opt/vendor/other.cti")]),
        ):
            pass
    finally:
        first.close()
        second.close()


def test_rows_of_a_device_become_frames(tmp_path: Path) -> None:
    """Each row of a buffer is a profile; the encoder fires every row, so its count is the encoder.

    The producer's red square of 20 × 20 mm comes out whole, at its place, with its brightness in the green channel.
    """
    settings = tmp_path / "sensor.toml"
    settings.write_text('[genicam]\nproducers = ["viky"]\ndevice = "VikyTL_DEV_red"\n', encoding="utf-8")
    section = ProfilerSection(
        settings=settings,
        encoder_from="rows",
        row_counts=1,
        um_per_count=1000.0,
        pitch_mm=1.0,
        length_mm=400.0,
        left_mm=0.0,
        width_mm=400.0,
        start="continuous",
        z="height",
        standoff_mm=565.685,
    )
    profiler.check(section)
    device = profiler.open_device(section)
    try:
        frames = [next_capture(device) for _ in range(3)]
    finally:
        device.close()
    assert [frame.frame_id for frame in frames] == [1, 2, 3]
    for frame in frames:
        square = (frame.rgb[..., 1] == 0) & ~np.isnan(frame.xyz[..., 2])
        np.testing.assert_array_equal(square, ~np.isnan(frame.xyz[..., 2]))
        assert square.sum() == 400
        z = frame.xyz[square, 2]
        assert z.max() - z.min() < 1e-6
        assert 0.4 < z.min() < 0.565
        np.testing.assert_allclose(frame.xyz[square, 0], np.nonzero(square)[1] * 1e-3, atol=1e-6)
