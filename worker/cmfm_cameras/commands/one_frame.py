"""Waits for one frame of a device, for commands that need no camera on the wire."""

import time
from collections.abc import Callable

from cmfm_cameras.capture import Capture
from cmfm_cameras.device import Device
from cmfm_cameras.errors import DeviceError, SourceEndedError

WAIT_S = 0.25


def next_frame(device: Device, limit_s: float, stopped: Callable[[], bool] = lambda: False) -> Capture:
    """Return the next frame. Raises DeviceError if none comes within `limit_s`, RefusedCaptureError."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s and not stopped():
        try:
            capture = device.capture(WAIT_S)
        except SourceEndedError as error:
            raise DeviceError(str(error)) from error
        if capture is not None:
            return capture
    raise DeviceError(f"{device.name}: no frame within {limit_s:g} s; is it triggered?")
