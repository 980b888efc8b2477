"""`cmfm-camera trigger` beside a camera, in front of a real worker: the photo-eye names parts and accounts for them."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w
from tests.system.camera_settings import write_camera
from tests.system.conftest import Line
from tests.unit.made.modbus_inputs import ModbusInputs

from cmfm_protocol.files.dataset import list_parts
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Reason
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, program

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class EyeLine:
    """A line with a photo-eye at a PLC's counter and one camera, all of them processes."""

    line: Line
    worker: Child
    camera: Child
    trigger: Child
    plc: ModbusInputs

    def counted(self, parts: int) -> None:
        """So many parts have passed the photo-eye."""
        self.plc.set("input_register", 0, 7 + parts)
        self.line.wait_for(lambda: f"part-{parts:08d}" in self.trigger.output(), self.trigger, 60)

    def results(self, count: int) -> list[Result]:
        """Wait for so many results; return them in order."""
        self.line.wait_for(lambda: len(self.line.received) == count, self.worker, 60)
        return [item.result for item in self.line.received]

    def end(self, *children: Child) -> None:
        """End processes in order, and then the worker."""
        for child in children:
            child.terminate()
            self.line.wait_for(lambda child=child: child.returncode is not None, self.worker, 60)  # type: ignore[misc]
            assert child.returncode == 0, child.output()
        self.line.finish(self.worker)


@contextmanager
def running(line: Line, folder: Path, camera: list[str]) -> Iterator[EyeLine]:
    """Start worker, camera (its command) and photo-eye; the counter stands at 7."""
    sockets = {name: getattr(line.endpoints, name) for name in ("results", "maps", "recovery", "control")}
    worker = line.start(sockets={**sockets, "frames": [line.endpoints.frames, eye_of(folder)]})
    (port,) = free_ports(1)
    plc = ModbusInputs(port)
    plc.set("input_register", 0, 7)
    plc.on()
    try:
        taking = line.start_child("camera", camera)
        announce = {
            "camera": line.endpoints.frames,
            "endpoint": eye_of(folder),
            "deadline_ms": 5000.0,
            "latency_ms": 60_000.0,
            "part_prefix": "part-",
            "state": "part.json",
        }
        modbus = {"port": port, "table": "input_register"}
        table = {"announce": announce, "modbus": modbus, "log": {"format": "json"}}
        (folder / "trigger.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        command = [*program("cmfm-camera"), "trigger", "--config", str(folder / "trigger.toml")]
        trigger = line.start_child("trigger", command)
        ready = ("input_opened", "camera_stream", "worker_subscribed")
        line.wait_for(lambda: all(word in trigger.output() for word in ready), trigger, 60)
        line.wait_for(lambda: "device_opened" in taking.output(), taking, 60)
        line.wait_for(lambda: plc.reads > 5, trigger, 60)
        yield EyeLine(line, worker, taking, trigger, plc)
    finally:
        plc.off()


def eye_of(folder: Path) -> str:
    """The endpoint of the photo-eye's trigger messages."""
    return f"ipc://{folder}/eye"


def test_a_part_whose_frame_never_comes_is_rejected_by_its_deadline(
    make_line: Callable[[str], Line], synthetic_root: Path, tmp_path: Path
) -> None:
    """The frame has the photo-eye's part id; a part without a frame is FAULT `lost` under its own id and number."""
    line = make_line("ipc")
    watched = tmp_path / "saved"
    watched.mkdir()
    section = {"path": str(watched)}
    config = write_camera(
        tmp_path / "camera.toml", "folder", section, line.endpoints.frames, part_ids="empty"
    )
    with running(line, tmp_path, [*program("cmfm-camera"), "--config", str(config)]) as at:
        at.counted(1)
        part = list_parts(synthetic_root, "praline", "test")[0]
        shutil.copy(part.xyz, watched / "a.xyz.tiff")
        shutil.copy(part.rgb, watched / "a.rgb.png")
        at.results(1)
        at.counted(2)  # the camera sees nothing of this one
        first, second = at.results(2)
        at.end(at.trigger, at.camera)
    assert named(first) == ("part-00000001", 0)
    assert named(second) == ("part-00000002", 1)
    assert second.reason is Reason.LOST
    assert first.stream_uuid == second.stream_uuid


def test_the_photo_eye_fires_a_camera_that_takes_frames_when_asked(
    make_line: Callable[[str], Line], tmp_path: Path
) -> None:
    """Each part that the eye sees has one frame, under the eye's number and id; with the camera dead it is `lost`.

    Two parts that come together have a frame each. The camera takes none by itself.
    """
    line = make_line("ipc")
    (tmp_path / "capture.yml").write_text("made up")
    section = {"settings": "capture.yml", "fired_by": eye_of(tmp_path), "late_s": 60.0, "period_s": 0.1}
    config = write_camera(tmp_path / "camera.toml", "zivid", section, line.endpoints.frames)
    camera = [sys.executable, "-m", "tests.system.fake_camera", "zivid", "--config", str(config)]
    with running(line, tmp_path, camera) as at:
        at.counted(1)
        at.results(1)
        at.counted(3)
        at.results(3)
        at.camera.kill()
        at.counted(4)
        results = at.results(4)
        at.end(at.trigger)
    assert [named(result) for result in results] == [(f"part-{n:08d}", n - 1) for n in range(1, 5)]
    # The fake's frames have another size than the recipe's, which is said of frames that came.
    assert [result.reason for result in results] == [*[Reason.OTHER_GEOMETRY] * 3, Reason.LOST]


def named(result: Result) -> tuple[str, int]:
    """Which part it is."""
    return result.part_id, result.seq
