"""Real sensor captures through the running line: nothing about them stops it or goes unanswered."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.files.dataset import read_rgb, read_xyz
from cmfm_protocol.wire.verdict import Verdict

from .conftest import Line

pytestmark = pytest.mark.system


def test_real_captures_get_their_verdicts(make_line: Callable[[str], Line], shared: Path) -> None:
    """All eight scenes (480 x 640, a third of their points missing) are inspected over the wire and answered."""
    line = make_line("tcp")
    names = sorted(path.stem for path in (shared / "real_frames" / "rgb").glob("*.png"))
    assert len(names) == 8
    with Camera(CameraOptions(endpoint=line.endpoints.frames)) as camera:
        worker = line.start()
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
    # Table-top scenes are no pralines: inspected they are (a score each), passed they must not be.
    assert all(result.score is not None or result.verdict is Verdict.UNDECIDED for result in results)
    assert not any(result.verdict in (Verdict.PASS, Verdict.FAULT) for result in results)
