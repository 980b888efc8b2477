"""A RealSense recording taught, and librealsense's software device inspected by a real worker."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.camera_settings import write_camera
from tests.system.conftest import Line

from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.processes import Children

from .test_camera_conform import passes
from .test_camera_genicam import SHOWN, TAUGHT, teach

pytest.importorskip(
    "pyrealsense2", reason="needs the extra realsense, and libusb of the system", exc_type=ImportError
)

from tests.system.realsense_camera import VIEWS, moments
from tests.unit.made.software_realsense import record

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PATIENT = {"wait_ms": 60_000.0}


def software_camera(config: Path) -> list[str]:
    """The command of the camera on the software device."""
    return [sys.executable, str(Path(__file__).parents[1] / "realsense_camera.py"), str(config)]


def test_a_realsense_camera_s_parts_are_inspected(make_line: Callable[[str], Line], tmp_path: Path) -> None:
    """Taught from a recording of librealsense, inspected from a device; every trigger has one verdict."""
    line = make_line("ipc")
    recording = tmp_path / "parts.db3"
    record(recording, [*itertools.islice(moments(), TAUGHT)], **VIEWS)
    played = {**PATIENT, "playback": str(recording), "playback_real_time": False}
    taught = write_camera(tmp_path / "play.toml", "realsense", played, line.endpoints.frames)
    recipes = teach(taught, tmp_path)
    worker = line.start(
        recipes={"folder": str(recipes), "default": "square"}, device={"threads": 1, "warmup_px": 240}
    )
    config = write_camera(
        tmp_path / "camera.toml", "realsense", PATIENT, line.endpoints.frames, recipe="square"
    )
    camera = line.start_child("realsense", software_camera(config))

    def inspected() -> list[Verdict]:
        verdicts = [item.result.verdict for item in line.received]
        return [verdict for verdict in verdicts if verdict is not Verdict.FAULT]

    line.wait_for(lambda: len(inspected()) >= SHOWN, worker, 120)
    camera.terminate()
    line.wait_for(lambda: camera.returncode is not None, worker, 60)
    assert camera.returncode == 0, camera.output()
    line.finish(worker)
    seqs = [item.result.seq for item in line.received]
    assert sorted(seqs) == [*range(len(seqs))]
    assert {*inspected()} <= {Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED}


def test_a_realsense_camera_follows_the_wire(tmp_path: Path) -> None:
    """Nothing that `conform` can see is wrong."""
    endpoint = f"ipc://{tmp_path}/frames"
    config = write_camera(tmp_path / "camera.toml", "realsense", PATIENT, endpoint)
    with Children(tmp_path / "logs") as children:
        children.start("realsense", software_camera(config))
        found = passes(endpoint)
    assert {"checksums", "arrays", "points", "seq", "heartbeats", "trigger messages"} <= found.keys()
    assert "metres" in found["points"]
