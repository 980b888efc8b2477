"""`cmfm-camera` on a fake of a vendor's package: `python -m tests.system.fake_camera KIND --config camera.toml`.

The process, its adapter, checks and publisher are the real ones. The vendor's package is a fake (`fake_vendors`) whose
camera takes five frames a second, each another picture. Photoneo has no package: its GenTL producer is replaced by
buffers in the formats that Photoneo documents.
"""

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from tests.unit.made.fake_vendors import FAKES, modules_of
from tests.unit.made.fake_vendors.shown import Shown

PERIOD_S = 0.2


class MovingScene(Shown):
    """A scene that is another one at each capture, in picture and missing points; captures wait for the next frame."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._due_s = time.monotonic()
        self._noise = np.random.default_rng(1)
        self._measured_mm = self.xyz_mm

    def called(self, name: str) -> None:
        """Make the next frame."""
        super().called(name)
        if name.startswith("capture"):
            time.sleep(max(self._due_s - time.monotonic(), 0))
            self._due_s = time.monotonic() + PERIOD_S
            self.rgb = self._noise.integers(0, 256, self.rgb.shape, np.uint8)
            self.xyz_mm = self._measured_mm.copy()
            self.xyz_mm[self._noise.random(self.rgb.shape[:2]) < 0.01] = np.nan


class PhotoneoBuffers:
    """Stands for `cmfm_cameras.gentl.session.Session`: Intensity in Mono10 and Range in Coord3D_ABC32f, millimetres."""

    name = "Photoneo PhoXi 3D Scanner M"

    def __init__(self, _section: object) -> None:
        from cmfm_cameras.gentl.nodes import Nodes
        from cmfm_cameras.numbering import FrameIds

        self.frame_ids = FrameIds()
        self.nodes = Nodes(SimpleNamespace(TriggerSoftware=SimpleNamespace(execute=lambda: None)))
        self._scene = MovingScene()
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def frame(self, _timeout_s: float) -> Iterator[Any]:
        """Fill a buffer; a point that was not measured is (0, 0, 0)."""
        from tests.unit.made.gentl_buffers import buffer_of

        from cmfm_cameras.gentl.raw_frame import RawFrame

        self._scene.called("capture")
        grey = self._scene.rgb[..., :1].astype(np.uint16) * 4
        xyz_mm = np.nan_to_num(self._scene.xyz_mm)
        raw, parts = buffer_of(("Mono10", grey), ("Coord3D_ABC32f", xyz_mm))
        yield RawFrame(raw, tuple(parts), next(self._numbers), None)

    @contextlib.contextmanager
    def errors(self, _what: str) -> Iterator[None]:
        """Nothing fails."""
        yield

    def lost(self) -> int:
        """No frame is lost."""
        return 0

    def is_synchronised(self) -> bool:
        """The clock follows nobody."""
        return False

    def temperature_c(self) -> float | None:
        """It does not say."""
        return None

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    """Put the fake in its place, and run `cmfm-camera` with the other arguments."""
    kind = sys.argv.pop(1)
    if kind in FAKES:
        sys.modules.update(modules_of(kind, MovingScene()))
    else:
        from cmfm_cameras.gentl import session

        session.Session = PhotoneoBuffers  # type: ignore[assignment, misc]
    from cmfm_cameras.app import main as run

    run()


if __name__ == "__main__":
    main()
