"""A fake of mecheyeapi 2.6."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.made.fake_vendors.shown import Shown

OFFLINE, NO_DATA, TIMEOUT = -2, -3, -9


class Failed(Exception):
    """The answer of the next capture: a code of ErrorStatus."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def fake(shown: Shown) -> Any:
    """`mecheye.area_scan_3d_camera` of a computer that sees `shown`; `shared` is `mecheye.shared`."""

    class ErrorStatus:
        real = "ErrorStatus"
        MMIND_STATUS_DEVICE_OFFLINE = OFFLINE
        MMIND_STATUS_NO_DATA_ERROR = NO_DATA
        MMIND_STATUS_TIMEOUT_ERROR = TIMEOUT

        def __init__(self) -> None:
            self.error_code, self.error_description = 0, ""

        def is_ok(self) -> bool:
            return self.error_code == 0

    def answer(code: int = 0, text: str = "") -> ErrorStatus:
        made = ErrorStatus()
        made.error_code, made.error_description = code, text
        return made

    class TexturedPointCloud:
        real = "TexturedPointCloud"

        def is_empty(self) -> bool:
            return "without 2D" in shown.calls

        def vertices(self) -> NDArray[np.float32]:
            return shown.xyz_mm.copy()

        def colors(self) -> NDArray[np.uint8]:
            return shown.rgb[..., ::-1].copy()

    class Frame2DAnd3D:
        real = "Frame2DAnd3D"

        def get_textured_point_cloud(self) -> TexturedPointCloud:
            return TexturedPointCloud()

    class UserSetManager:
        real = "UserSetManager"

        def select_user_set(self, userSetName: str) -> ErrorStatus:
            shown.called(f"user set {userSetName}")
            return answer() if userSetName == "praline" else answer(-7, "no such user set")

    class CameraStatus:
        real = "CameraStatus"

        def __init__(self) -> None:
            self.temperature = SimpleNamespace(cpu_temperature=0.0)

    class Camera:
        real = "Camera"

        @staticmethod
        def discover_cameras() -> list[Any]:
            return [
                SimpleNamespace(model="NANO", serial_number=serial, ip_address="10.0.0.7")
                for serial in shown.serials
            ]

        def connect(self, info: Any) -> ErrorStatus:
            shown.called(f"connect {info.serial_number}")
            return answer()

        def disconnect(self) -> None:
            shown.called("disconnect")

        def set_point_cloud_unit(self, unit: int) -> ErrorStatus:
            shown.called(f"unit {unit}")
            return answer()

        def user_set_manager(self) -> UserSetManager:
            return UserSetManager()

        def get_camera_status(self, status: CameraStatus) -> ErrorStatus:
            status.temperature.cpu_temperature = 44.0
            return answer()

        def capture_2d_and_3d(self, frame2DAnd3D: Frame2DAnd3D, timeoutMs: int) -> ErrorStatus:
            try:
                shown.called(f"capture {timeoutMs}")
            except Failed as failure:
                return answer(failure.code, "as told")
            return answer()

    shared = SimpleNamespace(ErrorStatus=ErrorStatus, CoordinateUnit_Millimeter=0)
    return SimpleNamespace(
        Camera=Camera,
        CameraStatus=CameraStatus,
        Frame2DAnd3D=Frame2DAnd3D,
        TexturedPointCloud=TexturedPointCloud,
        UserSetManager=UserSetManager,
        ErrorStatus=ErrorStatus,
        shared=shared,
    )
