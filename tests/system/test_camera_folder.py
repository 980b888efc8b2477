"""`cmfm-camera` on a watched folder, in front of a real worker: files in, a verdict for each part out."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from cmfm_protocol.files.dataset import list_parts
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.processes import program

from .conftest import Line

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def write_camera(line: Line, kind: str, section: dict[str, object]) -> Path:
    """Settings of a camera that the line hears."""
    camera = {"kind": kind, "endpoint": line.endpoints.frames, "deadline_ms": 60_000.0}
    config = line.folder / f"{kind}.toml"
    config.write_text(tomli_w.dumps({"camera": camera, kind: section, "log": {"format": "json"}}))
    return config


def test_saved_files_become_verdicts(
    make_line: Callable[[str], Line], synthetic_root: Path, tmp_path: Path
) -> None:
    """Each part saved has a verdict under its file's name; a torn file and a missing half are FAULTs, not silence."""
    line = make_line("ipc")
    worker = line.start()
    watched = tmp_path / "saved"
    watched.mkdir()
    parts = list_parts(synthetic_root, "praline", "test")[:4]
    config = write_camera(line, "folder", {"path": str(watched), "missing_s": 1.0, "after": "delete"})
    camera = line.start_child("folder-camera", [*program("cmfm-camera"), "--config", str(config)])
    line.wait_for(lambda: "device_opened" in camera.output(), worker, 60)
    for part in parts:
        shutil.copy(part.xyz, watched / f"{part.id}.xyz.tiff")
        shutil.copy(part.rgb, watched / f"{part.id}.rgb.png")
    (watched / "torn.rgb.png").write_bytes(parts[0].rgb.read_bytes()[:500])
    shutil.copy(parts[0].xyz, watched / "torn.xyz.tiff")
    shutil.copy(parts[0].xyz, watched / "half.xyz.tiff")

    line.wait_for(lambda: len(line.received) >= len(parts), worker, 60)
    inspected = {item.result.part_id: item.result for item in line.received}
    line.wait_for(lambda: "half" in camera.output() and "torn" in camera.output(), worker, 30)
    camera.terminate()
    line.wait_for(lambda: camera.returncode is not None, worker, 30)
    assert camera.returncode == 0, camera.output()
    line.finish(worker)

    assert {part.id for part in parts} <= inspected.keys()
    for part in parts:
        assert inspected[part.id].verdict is not Verdict.FAULT, inspected[part.id]
    faults = [item.result for item in line.received if item.result.verdict is Verdict.FAULT]
    assert len(faults) == 2  # the torn part and the half one, when the worker drains
    assert [item.result.seq for item in sorted(line.received, key=lambda item: item.result.seq)] == [
        *range(6)
    ]
    assert list(watched.iterdir()) == []
