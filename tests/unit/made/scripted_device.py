"""A device that does what a test says, frame by frame, and the captures that it gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from cmfm_cameras.capture import Capture
from cmfm_cameras.device import Device
from cmfm_cameras.errors import DeviceError, RefusedCaptureError, SourceEndedError
from cmfm_cameras.numbering import FrameIds

Step = Capture | Exception | None
"""A frame, an error of the driver, or nothing within the time."""


def capture(
    frame_id: int | None = None, *, part_id: str = "", lost_before: int = 0, size: int = 8
) -> Capture:
    """A small valid capture, different for each frame id."""
    number = 0 if frame_id is None else frame_id % 251
    rgb = np.full((size, size, 3), number, np.uint8)
    rgb[0, 0] = (1, 2, 3)
    xyz = np.full((size, size, 3), 0.5 + number * 1e-4, np.float32)
    xyz[0, 0] = np.nan
    return Capture(rgb, xyz, frame_id, None, part_id=part_id, lost_before=lost_before)


class ScriptedDevice:
    """Takes its steps in order, then says that the source has ended, or (`idle`) gives nothing any more.

    `closed` counts calls of close.
    """

    def __init__(
        self, steps: Sequence[Step], frame_ids: FrameIds | None = None, *, idle: bool = False
    ) -> None:
        self.name = "scripted"
        self.frame_ids = frame_ids or FrameIds()
        self.closed = 0
        self._steps = list(steps)
        self._idle = idle

    def capture(self, timeout_s: float) -> Capture | None:
        """Take the next step."""
        if not self._steps and self._idle:
            time.sleep(0.005)
            return None
        if not self._steps:
            raise SourceEndedError("no more steps")
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        """Count the call."""
        self.closed += 1


class HangingDevice(ScriptedDevice):
    """A device whose driver does not return before `released` is set."""

    def __init__(self) -> None:
        super().__init__([])
        self.released = threading.Event()

    def capture(self, timeout_s: float) -> Capture | None:
        """Hang."""
        self.released.wait()
        raise DeviceError("released")


def openings(*devices: ScriptedDevice | Exception) -> Callable[[], Device]:
    """A function that opens these devices one after the other; an error stands for one that is not there."""
    coming = list(devices)

    def opened() -> Device:
        device = coming.pop(0)
        if isinstance(device, Exception):
            raise device
        return device

    return opened


def wait_until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait for a condition; fails after `limit_s`."""
    until_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until_s, "the condition was never met"
        time.sleep(0.005)


def next_capture(device: Device) -> Capture:
    """Return the next capture of a device."""
    found: list[Capture] = []

    def arrived() -> bool:
        found.extend(filter(None, [device.capture(0.1)]))
        return bool(found)

    wait_until(arrived, 60)
    return found[0]


def refused(device: Device) -> RefusedCaptureError:
    """Return the error with which a device refuses its next capture."""
    with pytest.raises(RefusedCaptureError) as error:
        next_capture(device)
    return error.value
