"""`cmfm-camera` on MVTec's simulated GenTL producer: frames taught, and then inspected by a real worker."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.camera_settings import ON_A_TRAY, write_camera
from tests.system.conftest import Line
from tests.system.fit_command import fit_command

from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.processes import program

pytest.importorskip("genicam", reason="needs the extra genicam")

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TAUGHT = 6
SHOWN = 6


def run(*command: str) -> None:
    """Run a command to its end, which must be a success."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def teach(config: Path, folder: Path) -> Path:
    """Record frames, and teach the recipe `square` from them; returns the folder of recipes."""
    run(
        *program("cmfm-camera"),
        "record",
        str(folder / "rec"),
        "--config",
        str(config),
        "--frames",
        str(TAUGHT),
    )
    train = folder / "data" / "square" / "train" / "good"
    for kind, ending in (("rgb", "rgb.png"), ("xyz", "xyz.tiff")):
        (train / kind).mkdir(parents=True)
        for path in sorted((folder / "rec").glob(f"*.{ending}")):
            shutil.copy(path, train / kind / path.name.replace(f".{kind}", ""))
    run(*fit_command(folder / "data", "square", folder / "recipes" / "square"))
    return folder / "recipes"


def test_a_genicam_camera_s_parts_are_inspected(make_line: Callable[[str], Line], tmp_path: Path) -> None:
    """Recorded, taught, inspected; at SIGTERM every trigger has its verdict and none has two."""
    line = make_line("ipc")
    config = write_camera(
        tmp_path / "camera.toml", "genicam", ON_A_TRAY, line.endpoints.frames, recipe="square"
    )
    recipes = teach(config, tmp_path)
    worker = line.start(
        recipes={"folder": str(recipes), "default": "square"}, device={"threads": 1, "warmup_px": 400}
    )
    camera = line.start_child("genicam", [*program("cmfm-camera"), "--config", str(config)])

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
    counts = line.states[-1].counts
    assert counts["triggers"] == len(seqs)
    assert {item.result.coverage is not None for item in line.received if item.result.score is not None} == {
        True
    }
