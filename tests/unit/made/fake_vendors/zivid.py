"""A fake of zivid-python 2.18."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

from numpy.typing import NDArray
from tests.unit.made.fake_vendors.shown import Shown


def fake(shown: Shown) -> Any:
    """The module `zivid` of a computer that sees `shown`."""

    class PointCloud:
        real = "PointCloud"

        def copy_data(self, data_format: str) -> NDArray[Any]:
            arrays: dict[str, NDArray[Any]] = {"xyz": shown.xyz_mm, "rgba_srgb": shown.rgba}
            return arrays[data_format].copy()

    class Frame:
        real = "Frame"

        def __init__(self, settings: Settings) -> None:
            self.settings = settings
            self.info = SimpleNamespace(
                diagnostics=SimpleNamespace(packet_loss=shown.calls.count("lose") > 0)
            )
            self.state = SimpleNamespace(temperature=SimpleNamespace(general=41.5))

        def point_cloud(self) -> PointCloud:
            return PointCloud()

        def release(self) -> None:
            shown.called("release frame")

    class Settings:
        real = "Settings"

        def __init__(self) -> None:
            one = SimpleNamespace(exposure_time=dt.timedelta(microseconds=6500), gain=1.5)
            self.acquisitions = [one]
            self.color: object | None = object()

        @classmethod
        def load(cls, file_name: str) -> Settings:
            shown.called(f"load {file_name.rsplit('/', 1)[-1]}")
            settings = cls()
            if "broken" in file_name:
                raise RuntimeError("not a settings file")
            if "only_3d" in file_name:
                settings.color = None
            return settings

    class Camera:
        real = "Camera"

        def __init__(self, serial: str) -> None:
            self.info = SimpleNamespace(serial_number=serial, model_name="Zivid 2+ MR60")

        def capture_2d_3d(self, settings: Settings) -> Frame:
            shown.called("capture_2d_3d")
            return Frame(settings)

        def disconnect(self) -> None:
            shown.called("disconnect")

    class Application:
        real = "Application"

        def cameras(self) -> list[Camera]:
            return [Camera(serial) for serial in shown.serials]

        def connect_camera(self, serial_number: str | None = None) -> Camera:
            if not shown.serials or serial_number not in (None, *shown.serials):
                raise RuntimeError("no camera found")
            return Camera(serial_number or shown.serials[0])

        def create_file_camera(self, frame: str) -> Camera:
            shown.called(f"file camera {frame.rsplit('/', 1)[-1]}")
            return Camera("file")

        def release(self) -> None:
            shown.called("release application")

    return SimpleNamespace(
        Application=Application, Camera=Camera, Settings=Settings, Frame=Frame, PointCloud=PointCloud
    )
