"""`cmfm-camera trigger` beside a camera, in front of a real worker: the photo-eye names parts and accounts for them."""

import shutil
from collections.abc import Callable
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
from cmfm_sim.processes import program

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_a_part_whose_frame_never_comes_is_rejected_by_its_deadline(
    make_line: Callable[[str], Line], synthetic_root: Path, tmp_path: Path
) -> None:
    """The frame has the photo-eye's part id; a part without a frame is FAULT `lost` under its own id and number."""
    line = make_line("ipc")
    eye = f"ipc://{tmp_path}/eye"
    sockets = {name: getattr(line.endpoints, name) for name in ("results", "maps", "recovery", "control")}
    worker = line.start(sockets={**sockets, "frames": [line.endpoints.frames, eye]})
    (port,) = free_ports(1)
    plc = ModbusInputs(port)
    plc.set("input_register", 0, 7)
    plc.on()
    try:
        watched = tmp_path / "saved"
        watched.mkdir()
        config = write_camera(
            tmp_path / "camera.toml",
            "folder",
            {"path": str(watched)},
            line.endpoints.frames,
            part_ids="empty",
        )
        camera = line.start_child("camera", [*program("cmfm-camera"), "--config", str(config)])
        announce = {
            "camera": line.endpoints.frames,
            "endpoint": eye,
            "deadline_ms": 5000.0,
            "latency_ms": 60_000.0,
            "part_prefix": "part-",
            "state": "part.json",
        }
        modbus = {"port": port, "table": "input_register"}
        table = {"announce": announce, "modbus": modbus, "log": {"format": "json"}}
        (tmp_path / "trigger.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        command = [*program("cmfm-camera"), "trigger", "--config", str(tmp_path / "trigger.toml")]
        trigger = line.start_child("trigger", command)
        ready = ("input_opened", "camera_stream", "worker_subscribed")
        line.wait_for(lambda: all(word in trigger.output() for word in ready), trigger, 60)
        line.wait_for(lambda: "device_opened" in camera.output(), camera, 60)
        line.wait_for(lambda: plc.reads > 5, trigger, 60)

        plc.set("input_register", 0, 8)
        line.wait_for(lambda: "part-00000001" in trigger.output(), trigger, 60)
        part = list_parts(synthetic_root, "praline", "test")[0]
        shutil.copy(part.xyz, watched / "a.xyz.tiff")
        shutil.copy(part.rgb, watched / "a.rgb.png")
        line.wait_for(lambda: len(line.received) == 1, worker, 60)
        plc.set("input_register", 0, 9)  # the camera sees nothing of this one
        line.wait_for(lambda: len(line.received) == 2, worker, 60)
        for child in (trigger, camera):
            child.terminate()
            line.wait_for(lambda child=child: child.returncode is not None, worker, 60)  # type: ignore[misc]
            assert child.returncode == 0, child.output()
        line.finish(worker)
    finally:
        plc.off()
    first, second = (item.result for item in line.received)
    assert named(first) == ("part-00000001", 0)
    assert named(second) == ("part-00000002", 1)
    assert second.reason is Reason.LOST
    assert first.stream_uuid == second.stream_uuid


def named(result: Result) -> tuple[str, int]:
    """Which part it is."""
    return result.part_id, result.seq
