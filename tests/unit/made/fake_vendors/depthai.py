"""A fake of depthai 3.12: the nodes of an RGBD pipeline, and the clouds that it gives."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.made.fake_vendors.shown import Shown


def fake(shown: Shown, *, sparse: bool = False) -> Any:
    """The module `depthai`; `sparse`: its clouds hold measured points alone."""

    class QueueException(Exception):
        pass

    class PointCloudData:
        real = "PointCloudData"

        def __init__(self, number: int) -> None:
            self._number = number

        def getPointsRGB(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
            points = np.nan_to_num(shown.xyz_mm / np.float32(1000)).reshape(-1, 3).astype(np.float32)
            colors = shown.rgba.reshape(-1, 4)
            measured = points[:, 2] > 0 if sparse else np.ones(len(points), bool)
            return points[measured].copy(), colors[measured].copy()

        def isOrganized(self) -> bool:
            return not sparse

        def getHeight(self) -> int:
            return 1 if sparse else int(shown.rgb.shape[0])

        def getWidth(self) -> int:
            return int(shown.rgb.shape[1])

        def getSequenceNum(self) -> int:
            return self._number

        def getTimestampDevice(self) -> dt.timedelta:
            return dt.timedelta(seconds=self._number)

    class MessageQueue:
        real = "MessageQueue"
        QueueException: type[Exception]

        def __init__(self) -> None:
            self._number = 0

        def get(self, timeout: dt.timedelta) -> PointCloudData | None:
            assert timeout > dt.timedelta()
            shown.called("capture")
            if "silent" in shown.calls or "stopped" in shown.calls:
                return None
            self._number += 1
            return PointCloudData(self._number)

    MessageQueue.QueueException = QueueException

    class Output:
        real = "Output"

        def createOutputQueue(self, maxSize: int, blocking: bool) -> MessageQueue:
            return MessageQueue()

    class Camera:
        real = "Camera"

        def build(self) -> Camera:
            return self

    class Depth:
        real = "Depth"

    class RGBD:
        real = "RGBD"

        def __init__(self) -> None:
            self.pcl = Output()

        def build(self, camera: Camera, depthSource: Depth, size: tuple[int, int], fps: float) -> RGBD:
            shown.called(f"rgbd {size[0]}x{size[1]} {fps:g}")
            return self

        def setDepthUnits(self, units: str) -> None:
            shown.called(f"units {units}")

    class Device:
        real = "Device"

        def __init__(self, deviceInfo: Any) -> None:
            self._serial = deviceInfo

        @staticmethod
        def getAllConnectedDevices() -> list[Any]:
            return [SimpleNamespace(deviceId=serial, name="1.2") for serial in shown.serials]

        def getDeviceName(self) -> object:
            return "OAK-D-PRO"

        def getDeviceId(self) -> str:
            return str(self._serial)

        def getChipTemperature(self) -> Any:
            return SimpleNamespace(average=48.0)

        def close(self) -> None:
            shown.called("close")

    class Pipeline:
        real = "Pipeline"

        def __init__(self, defaultDevice: Device) -> None:
            self._device = defaultDevice

        def create(self, arg0: type) -> Any:
            return arg0()

        def start(self) -> None:
            shown.called("start")

        def stop(self) -> None:
            shown.called("stop")

        def isRunning(self) -> bool:
            return "stopped" not in shown.calls

    return SimpleNamespace(
        node=SimpleNamespace(Camera=Camera, Depth=Depth, RGBD=RGBD),
        LengthUnit=SimpleNamespace(METER="METER"),
        DeviceInfo=lambda deviceIdOrName: deviceIdOrName,
        Device=Device,
        MessageQueue=MessageQueue,
        Pipeline=Pipeline,
        PointCloudData=PointCloudData,
        Camera=Camera,
        Depth=Depth,
        RGBD=RGBD,
        Output=Output,
    )
