"""A Luxonis OAK-D by depthai 3. Not tried on hardware.

The calls follow depthai 3.12, its type stubs and depthai-core's examples/python/RGBD/rgbd.py: the nodes `Camera` and
`Depth`, and `RGBD`, which aligns depth to colour and gives one coloured cloud a frame, here in metres
(`setDepthUnits`). Only organised clouds are taken: "sparse" ones hold measured points alone, which belong to no
pixel. A point (0, 0, 0) was not measured. The message's sequence number is the device's count; its width is not
documented, 64 bits are assumed.
"""

import contextlib
import datetime as dt
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.capture import Capture
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.points import in_metres
from cmfm_cameras.settings.oakd import OakdSection
from cmfm_cameras.vendor.package import vendor_errors, vendor_package
from cmfm_protocol.clock import NS_PER_MS
from cmfm_settings.section import Section

QUEUED: Final = 4
"""Clouds that wait for this program; depthai drops the oldest beyond that."""


def check(section: Section) -> None:
    """Raise InputError if depthai is missing, or older than 3."""
    del section
    if not hasattr(_package().node, "RGBD"):
        raise InputError("depthai has no node RGBD: pip install 'depthai>=3.12'")


def open_device(section: Section) -> "OakdDevice":
    """Start the camera of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
    check(section)
    return OakdDevice(cast("OakdSection", section))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the cameras that are connected now. Raises InputError if depthai is missing."""
    del section
    with vendor_errors("OAK cameras cannot be listed"):
        return [
            DeviceInfo("oakd", info.deviceId, f"Luxonis OAK {info.name}")
            for info in _package().Device.getAllConnectedDevices()
        ]


class OakdDevice:
    """One camera that streams."""

    def __init__(self, section: OakdSection) -> None:
        self._dai, self._section = _package(), section
        self.frame_ids = FrameIds()
        self._heard_s = time.monotonic()
        self._stack = contextlib.ExitStack()
        try:
            with vendor_errors("the OAK camera cannot be opened"):
                device = self._dai.Device(self._dai.DeviceInfo(_chosen(self._dai, section)))
                self._stack.callback(device.close)
                self._device = device
                self.name = f"Luxonis {device.getDeviceName()} {device.getDeviceId()}"
                self._start()
        except BaseException:
            self.close()
            raise

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next frame, or None if none came in time. A camera that is silent is opened again."""
        with vendor_errors(
            f"{self.name} gives no frames", RuntimeError, self._dai.MessageQueue.QueueException
        ):
            cloud = self._queue.get(dt.timedelta(seconds=max(timeout_s, 0.001)))
            if cloud is None:
                if not self._pipeline.isRunning():
                    raise DeviceError(f"{self.name} has stopped")
                if time.monotonic() - self._heard_s > self._section.silent_s:
                    raise DeviceError(f"{self.name} has been silent for {self._section.silent_s:g} s")
                return None
            self._heard_s = time.monotonic()
            frame_id = int(cloud.getSequenceNum())
            try:
                rgb, xyz = arrays_of(cloud)
            except RefusedCaptureError as error:
                error.frame_id = frame_id
                raise
            return Capture(
                rgb,
                xyz,
                frame_id=frame_id,
                trigger_ns=None,
                temperature_c=float(self._device.getChipTemperature().average),
                device_ns=round(cloud.getTimestampDevice() / dt.timedelta(milliseconds=1) * NS_PER_MS),
            )

    def close(self) -> None:
        """Stop the pipeline and close the device."""
        with contextlib.suppress(RuntimeError):
            self._stack.close()

    def _start(self) -> None:
        dai, section = self._dai, self._section
        self._pipeline = dai.Pipeline(self._device)
        self._stack.callback(self._pipeline.stop)
        color = self._pipeline.create(dai.node.Camera).build()
        depth = self._pipeline.create(dai.node.Depth)
        size = (section.width, section.height)
        rgbd = self._pipeline.create(dai.node.RGBD).build(color, depth, size, float(section.fps))
        rgbd.setDepthUnits(dai.LengthUnit.METER)
        self._queue = rgbd.pcl.createOutputQueue(maxSize=QUEUED, blocking=False)
        self._pipeline.start()


def arrays_of(cloud: Any) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return picture and points (H, W, 3) of a coloured cloud in metres. Raises RefusedCaptureError."""
    points, colors = cloud.getPointsRGB()
    height, width = cloud.getHeight(), cloud.getWidth()
    if not cloud.isOrganized() or len(points) != height * width or len(colors) != len(points):
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED,
            f"a cloud of {len(points)} points is not organised as {width}x{height} pixels",
        )
    rgb = np.asarray(colors, np.uint8).reshape(height, width, -1)[..., :3]
    return np.array(rgb, order="C"), in_metres(np.asarray(points, np.float32).reshape(height, width, 3), 1.0)


def _package() -> Any:
    return vendor_package("depthai", "pip install 'depthai>=3.12'")


def _chosen(dai: Any, section: OakdSection) -> str:
    serials = [str(info.deviceId) for info in dai.Device.getAllConnectedDevices()]
    known = ", ".join(serials) or "none"
    fitting = [serial for serial in serials if section.device in ("", serial)]
    if not fitting:
        raise DeviceError(f"no OAK camera {section.device!r} is connected; connected: {known}")
    if len(fitting) > 1:
        raise InputError(f"oakd.device is empty and several cameras are connected; name one of: {known}")
    return fitting[0]
