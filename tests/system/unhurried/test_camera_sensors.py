"""`cmfm-sim conform`, the publisher check, on two devices as one camera and on a line-scan profiler."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
import tomli_w
from PIL import Image
from tests.system.camera_settings import VIKY, write_camera

from cmfm_cameras.geometry.calibration_file import FORMAT
from cmfm_sim.processes import Children, program

from .test_camera_conform import passes

pytestmark = [pytest.mark.system, pytest.mark.timeout(200)]

CALIBRATION = {
    "format": FORMAT,
    "picture": {
        "width_px": 80,
        "height_px": 60,
        "fx_px": 100.0,
        "fy_px": 100.0,
        "cx_px": 39.5,
        "cy_px": 29.5,
    },
    "pose": {
        "rotation": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        "translation_m": [0.0, 0.0, 0.0],
    },
}


@contextmanager
def two_sensors(folder: Path) -> Iterator[None]:
    """Save a picture and the points of a plane that moves, five times a second."""
    folder.mkdir()
    stop = threading.Event()
    columns, rows = np.meshgrid(np.arange(80.0), np.arange(60.0))
    rays = np.stack([(columns - 39.5) / 100, (rows - 29.5) / 100, np.ones_like(columns)], axis=-1)

    def save() -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            xyz = (rays * (0.5 + number * 1e-5)).astype(np.float32)
            rgb = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
            tifffile.imwrite(folder / f"{number}.xyz.tiff", xyz, photometric="rgb", metadata=None)
            Image.fromarray(rgb).save(folder / f"{number}.rgb.png")

    thread = threading.Thread(target=save)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def written(path: Path, table: Mapping[str, object]) -> str:
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return str(path)


def test_two_devices_follow_the_wire(tmp_path: Path) -> None:
    """Files of two devices in one folder, paired by name: nothing that `conform` can see is wrong."""
    endpoint, watched = f"ipc://{tmp_path}/frames", tmp_path / "saved"
    section: dict[str, object] = {
        "calibration": written(tmp_path / "calibration.toml", CALIBRATION),
        "pair_by": "name",
        "wait_ms": 2000.0,
        **{
            side: written(
                tmp_path / f"{side}.toml",
                {
                    "camera": {"kind": "folder"},
                    "folder": {"path": str(watched), "form": form, "settle_s": 0.05},
                },
            )
            for side, form in (("picture", "rgb"), ("depth", "xyz"))
        },
    }
    config = write_camera(tmp_path / "two.toml", "two_devices", section, endpoint)
    with Children(tmp_path / "logs") as children, two_sensors(watched):
        children.start("two", [*program("cmfm-camera"), "--config", str(config)])
        found = passes(endpoint)
    assert {"checksums", "points", "seq", "trigger messages"} <= found.keys()


def test_a_profiler_follows_the_wire(tmp_path: Path) -> None:
    """Rows of a simulated producer, placed by their count."""
    pytest.importorskip("genicam", reason="needs the extra genicam")
    endpoint = f"ipc://{tmp_path}/frames"
    section: dict[str, object] = {
        "settings": written(
            tmp_path / "sensor.toml", {"genicam": {**VIKY, "features": ["AcquisitionFrameRate=5"]}}
        ),
        "encoder_from": "rows",
        "row_counts": 1,
        "um_per_count": 1000.0,
        "pitch_mm": 1.0,
        "length_mm": 400.0,
        "left_mm": 0.0,
        "width_mm": 400.0,
        "start": "continuous",
        "z": "height",
        "standoff_mm": 565.685,
    }
    config = write_camera(tmp_path / "profiler.toml", "profiler", section, endpoint)
    with Children(tmp_path / "logs") as children:
        children.start("profiler", [*program("cmfm-camera"), "--config", str(config)])
        found = passes(endpoint)
    assert {"checksums", "points", "seq", "trigger messages"} <= found.keys()
