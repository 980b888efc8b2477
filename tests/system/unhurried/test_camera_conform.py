"""`cmfm-sim conform`, the publisher check, on `cmfm-camera` processes."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.system.camera_settings import VIKY, write_camera

from cmfm_sim.processes import Children, program

pytestmark = [pytest.mark.system, pytest.mark.timeout(200)]

SECONDS = 3
ATTEMPTS = 3
"""A machine under load can keep a camera from its heartbeats; a camera that is wrong is wrong each time."""

LOOKED_AT = {"checksums", "arrays", "points", "seq", "heartbeats", "trigger messages"}
"""Lines of the report that need frames of the camera."""


@contextmanager
def sensor_software(folder: Path) -> Iterator[None]:
    """Saves a new part five times a second."""
    folder.mkdir()
    stop = threading.Event()

    def save() -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            rgb = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
            xyz = np.full((60, 80, 3), 0.5 + number * 1e-5, np.float32)
            xyz[:, : number % 40] = np.nan
            tifffile.imwrite(folder / f"{number}.xyz.tiff", xyz, photometric="rgb", metadata=None)
            Image.fromarray(rgb).save(folder / f"{number}.rgb.png")

    thread = threading.Thread(target=save)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def conform(endpoint: str) -> list[dict[str, Any]]:
    """The lines of the report on a running camera."""
    command = [*program("cmfm-sim"), "conform", "--endpoint", endpoint, "--seconds", str(SECONDS), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    lines: list[dict[str, Any]] = json.loads(ended.stdout)["lines"]
    return lines


def passes(endpoint: str) -> dict[str, str]:
    """The lines that the report found in order. Fails if each attempt found something wrong."""
    wrong: list[str] = []
    for _ in range(ATTEMPTS):
        lines = conform(endpoint)
        wrong = [f"{line['check']}: {line['found']}" for line in lines if line["level"] == "fail"]
        if not wrong:
            return {line["check"]: line["found"] for line in lines if line["level"] == "pass"}
    pytest.fail("\n".join(wrong))


def viky() -> Path:
    """The file of MVTec's simulated producer."""
    from cmfm_cameras.gentl.producers import producers
    from cmfm_cameras.settings.genicam import GenicamSection

    (found,) = producers(GenicamSection(producers=("viky",)))
    return found


VENDORS: dict[str, dict[str, object]] = {
    "ensenso": {"period_s": 0.2},
    "mecheye": {"period_s": 0.2},
    "oakd": {"fps": 5},
    "orbbec": {"fps": 5},
    "photoneo": {"software_s": 0.2},
    "zivid": {"period_s": 0.2, "settings": "capture.yml"},
}


@pytest.mark.parametrize("kind", VENDORS)
def test_a_vendor_s_adapter_follows_the_wire(tmp_path: Path, kind: str) -> None:
    """The same for adapters of vendors' packages: real processes on fakes, which prove nothing about devices."""
    section = VENDORS[kind]
    if kind == "photoneo":
        pytest.importorskip("genicam", reason="needs the extra genicam")
        section = {**section, "producers": [str(viky())]}  # is looked for, and not opened
    (tmp_path / "capture.yml").write_text("made up")
    endpoint = f"ipc://{tmp_path}/frames"
    config = write_camera(tmp_path / "camera.toml", kind, section, endpoint)
    with Children(tmp_path / "logs") as children:
        children.start(
            kind, [sys.executable, "-m", "tests.system.fake_camera", kind, "--config", str(config)]
        )
        found = passes(endpoint)
    assert found.keys() >= LOOKED_AT
    assert "metres" in found["points"]


@pytest.mark.parametrize("kind", ["folder", "genicam", "recording"])
def test_a_camera_follows_the_wire(tmp_path: Path, kind: str) -> None:
    """Seals, numbers, heartbeats, triggers before frames, metres: nothing that `conform` can see is wrong."""
    if kind == "genicam":
        pytest.importorskip("genicam", reason="needs the extra genicam")
    endpoint = f"ipc://{tmp_path}/frames"
    watched = tmp_path / "saved"
    config = write_camera(
        tmp_path / "folder.toml", "folder", {"path": str(watched), "settle_s": 0.05}, endpoint
    )
    command = [*program("cmfm-camera"), "--config", str(config)]
    with Children(tmp_path / "logs") as children, sensor_software(watched):
        if kind == "genicam":
            command[-1] = str(write_camera(tmp_path / "viky.toml", "genicam", VIKY, endpoint))
        if kind == "recording":
            recording = str(tmp_path / "recorded")
            record = [*program("cmfm-camera"), "record", recording, "--config", str(config)]
            children.start("record", [*record, "--frames", "4"]).wait(lambda: False, 60)
            # Frames that are played again and again have the same bytes: as parts that do not exist they may.
            write_camera(tmp_path / "play.toml", "folder", {}, endpoint, simulated=True)
            command = [*program("cmfm-camera"), "play", recording, "--config", str(tmp_path / "play.toml")]
            command.append("--repeat")
        children.start(kind, command)
        found = passes(endpoint)
    assert found.keys() >= LOOKED_AT
    assert "metres" in found["points"]
