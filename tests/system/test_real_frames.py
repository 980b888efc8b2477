"""Real sensor captures through the running line: nothing about them stops it or goes unanswered."""

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.files.dataset import read_rgb, read_xyz
from cmfm_protocol.wire.verdict import Reason, Verdict

from .conftest import Line

pytestmark = pytest.mark.system


def of_any_frame(recipes: Path, folder: Path) -> Path:
    """Copy the recipes without the size and distance of the frames that they were taught on."""
    shutil.copytree(recipes, folder)
    path = folder / "praline" / "recipe.toml"
    table = tomllib.loads(path.read_text())
    assert table.pop("frame")
    path.write_text(tomli_w.dumps(table))
    return folder


@pytest.mark.parametrize("compares", [False, True])
def test_real_captures_get_their_verdicts(
    compares: bool, make_line: Callable[[str], Line], recipes: Path, shared: Path, tmp_path: Path
) -> None:
    """All eight scenes (480 x 640, a third of their points missing) are answered.

    A recipe that knows the frames it was taught on refuses them; one that does not inspects them.
    """
    line = make_line("tcp")
    folder = recipes if compares else of_any_frame(recipes, tmp_path / "recipes")
    names = sorted(path.stem for path in (shared / "real_frames" / "rgb").glob("*.png"))
    assert len(names) == 8
    with Camera(CameraOptions(endpoint=line.endpoints.frames)) as camera:
        worker = line.start(recipes={"folder": str(folder), "default": "praline"})
        camera.wait_for_subscriber(30)
        for name in names:
            rgb = read_rgb(shared / "real_frames" / "rgb" / f"{name}.png")
            xyz = read_xyz(shared / "real_frames" / "xyz" / f"{name}.tiff")
            trigger = camera.trigger(name, recipe="praline", deadline_ms=20_000.0, announce=False)
            assert camera.publish(trigger, rgb, xyz)
            for _ in range(4):
                camera.rest(0.05)
        line.wait_for(lambda: len(line.received) == len(names), worker, 60)
    line.finish(worker)
    results = [item.result for item in line.received]
    assert [result.part_id for result in results] == names
    if compares:
        assert {result.reason for result in results} == {Reason.OTHER_GEOMETRY}
        return
    # Table-top scenes are no pralines: inspected they are (a score each), passed they must not be.
    assert all(result.score is not None or result.verdict is Verdict.UNDECIDED for result in results)
    assert not any(result.verdict in (Verdict.PASS, Verdict.FAULT) for result in results)
