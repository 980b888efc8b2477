"""A fake of ensenso-nxlib 4.3: the tree of NxLib as far as the adapter reads it, and one stereo camera."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.made.fake_vendors.shown import Shown


def fake(shown: Shown, *, grey: bool = False) -> Any:
    """The module `nxlib` of a computer that sees `shown`; `grey`: a camera without colour."""

    def cameras() -> list[dict[str, str]]:
        depth = [{"SerialNumber": one, "ModelName": "C57S", "Type": "Stereo"} for one in shown.serials]
        return [*depth, {"SerialNumber": "mono", "ModelName": "uEye", "Type": "Monocular"}]

    class NxLibError(Exception):
        pass

    class CameraNotFoundError(Exception):
        pass

    class CameraOpenError(Exception):
        pass

    class CameraTypeError(Exception):
        pass

    class NxLib:
        real = "NxLib"

        def __enter__(self) -> NxLib:
            shown.called("initialise")
            if "without SDK" in shown.calls:
                raise OSError("libNxLib64.so: cannot open shared object file")
            return self

        def __exit__(self, exc_type: object, exc_value: object, exc_tb: object) -> None:
            shown.called("finalise")

    class NxLibItem:
        real = "NxLibItem"

        def __init__(self, path: Any = None) -> None:
            self._value = {"Cameras": cameras()} if path is None else path

        def __getitem__(self, value: Any) -> NxLibItem:
            return NxLibItem(self._value[value])

        def count(self) -> int:
            return len(self._value)

        def exists(self) -> bool:
            return self._value is not None

        def as_string(self) -> str:
            return str(self._value)

        def set_json(self, value: str, only_writable_nodes: bool = False) -> None:
            if not isinstance(json.loads(value), dict):
                raise NxLibError("not an object")
            shown.called(f"parameters {only_writable_nodes}")

    class Camera:
        real = "Camera"

        @classmethod
        def from_serial(cls, serial: str, expected_types: list[str]) -> StereoCamera:
            if serial not in shown.serials:
                raise CameraNotFoundError(f"No camera found for serial {serial}")
            assert "Stereo" in expected_types
            return StereoCamera()

        def __getitem__(self, value: str) -> NxLibItem:
            return NxLibItem({})

        def get_model_name(self) -> str:
            return "C57S"

        def open(self) -> None:
            shown.called("open")

        def close(self) -> None:
            shown.called("close")

        def capture(self) -> None:
            shown.called("capture")

    class StereoCamera(Camera):
        real = "StereoCamera"

        def compute_disparity_map(self) -> None:
            shown.called("disparity")

        def compute_point_map(self) -> None:
            shown.called("points")

        def compute_texture(self) -> None:
            shown.called("texture")

        def get_point_map(self) -> NDArray[np.float32]:
            return shown.xyz_mm.copy()

        def get_texture(self) -> NDArray[np.uint8]:
            return shown.rgb[..., :1].copy() if grey else shown.rgb.copy()

    context = SimpleNamespace(
        CameraNotFoundError=CameraNotFoundError,
        CameraOpenError=CameraOpenError,
        CameraTypeError=CameraTypeError,
    )
    return SimpleNamespace(
        NxLib=NxLib,
        NxLibItem=NxLibItem,
        NxLibError=NxLibError,
        Camera=Camera,
        StereoCamera=StereoCamera,
        context=context,
    )
