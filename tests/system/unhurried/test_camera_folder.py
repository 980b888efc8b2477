"""`cmfm-camera` on a watched folder, in front of a real worker; and the same frames recorded and played."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.camera_settings import write_camera
from tests.system.conftest import Line

from cmfm_protocol.files.dataset import PartFiles, list_parts
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.processes import Child, program

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PARTS = 4


def save(parts: list[PartFiles], folder: Path) -> None:
    """Save parts as careful software does: each file is renamed once it is whole, the points first."""
    folder.mkdir(exist_ok=True)
    for part in parts:
        for source, name in ((part.xyz, f"{part.id}.xyz.tiff"), (part.rgb, f"{part.id}.rgb.png")):
            shutil.copy(source, folder / f".{name}")
            (folder / f".{name}").rename(folder / name)


def end(line: Line, camera: Child, worker: Child) -> None:
    """Stop the camera, which must end in order."""
    camera.terminate()
    line.wait_for(lambda: camera.returncode is not None, worker, 60)
    assert camera.returncode == 0, camera.output()


def test_saved_files_become_verdicts(
    make_line: Callable[[str], Line], synthetic_root: Path, tmp_path: Path
) -> None:
    """Each part saved has a verdict under its file's name; a torn file and a missing half are FAULTs, not silence."""
    line = make_line("ipc")
    worker = line.start()
    watched = tmp_path / "saved"
    watched.mkdir()
    parts = list_parts(synthetic_root, "praline", "test")[:PARTS]
    section = {"path": str(watched), "missing_s": 4.0, "after": "delete"}
    config = write_camera(tmp_path / "camera.toml", "folder", section, line.endpoints.frames)
    camera = line.start_child("folder-camera", [*program("cmfm-camera"), "--config", str(config)])
    line.wait_for(lambda: "device_opened" in camera.output(), worker, 60)
    save(parts, watched)
    (watched / "torn.rgb.png").write_bytes(parts[0].rgb.read_bytes()[:500])
    shutil.copy(parts[0].xyz, watched / "torn.xyz.tiff")
    shutil.copy(parts[0].xyz, watched / "half.xyz.tiff")
    line.wait_for(lambda: len(line.received) >= PARTS, worker, 60)
    line.wait_for(lambda: all(f"{name}.rgb" in camera.output() for name in ("torn", "half")), worker, 60)
    end(line, camera, worker)
    line.finish(worker)

    results = {item.result.part_id: item.result for item in line.received}
    for part in parts:
        assert results[part.id].verdict is not Verdict.FAULT, results[part.id]
    faults = [item.result for item in line.received if item.result.verdict is Verdict.FAULT]
    assert sorted(result.part_id for result in faults) == ["half", "torn"]
    assert sorted(item.result.seq for item in line.received) == [*range(PARTS + 2)]
    assert list(watched.iterdir()) == []


def judged(result: Result) -> tuple[object, ...]:
    """All that a verdict says of a part."""
    return result.verdict, result.reason, result.score, result.coverage, result.peak_px, result.regions


def test_a_recording_reproduces_verdicts_bit_for_bit(
    make_line: Callable[[str], Line], synthetic_root: Path, tmp_path: Path
) -> None:
    """The line's own frames, recorded and played at a desk: the same verdicts, scores and regions."""
    line = make_line("ipc")
    worker = line.start(intake={"repeated": "warn"})
    watched = tmp_path / "saved"
    save(list_parts(synthetic_root, "praline", "test")[:PARTS], watched)
    section = {"path": str(watched), "existing": "publish"}
    config = write_camera(tmp_path / "camera.toml", "folder", section, line.endpoints.frames)
    camera = line.start_child("live", [*program("cmfm-camera"), "--config", str(config)])
    line.wait_for(lambda: len(line.received) == PARTS, worker, 60)
    end(line, camera, worker)

    command = [*program("cmfm-camera"), "record", str(tmp_path / "recorded"), "--config", str(config)]
    subprocess.run([*command, "--frames", str(PARTS)], check=True, timeout=120, capture_output=True)
    playing = [*program("cmfm-camera"), "play", str(tmp_path / "recorded"), "--config", str(config)]
    played = line.start_child("played", playing)
    line.wait_for(lambda: len(line.received) == 2 * PARTS, worker, 60)
    line.wait_for(lambda: played.returncode == 0, worker, 60)  # it ends with its recording
    line.finish(worker)

    live, again = line.received[:PARTS], line.received[PARTS:]
    by_part = {item.result.part_id: judged(item.result) for item in live}
    assert len(by_part) == PARTS
    assert by_part == {item.result.part_id: judged(item.result) for item in again}
    assert all(item.result.score is not None for item in line.received)
