"""A recording as a camera: the frames that `cmfm-camera record` saved, at the times at which they came.

Refused frames are refused again. Frame ids are the numbers that the frames had on the wire: frames that the device lost
are missing again, and numbers go on where the device was opened anew. Trigger times keep their distance to the arrival.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from cmfm_cameras.capture import Capture
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import InputError, RefusedCaptureError, SourceEndedError
from cmfm_cameras.numbering import FrameIds, Numbered, Numbering
from cmfm_cameras.recordings.frame_files import Recorded, read_capture, read_recording
from cmfm_cameras.settings.recording import RecordingSection
from cmfm_protocol.clock import NS_PER_S
from cmfm_settings.section import Section


def check(section: Section) -> None:
    """Raise InputError if the section names no recording."""
    read_recording(_path(cast("RecordingSection", section)))


def open_device(section: Section) -> "RecordingDevice":
    """Open the recording of the section. Raises InputError."""
    return RecordingDevice(cast("RecordingSection", section))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the recording of the section, if one is named."""
    path = cast("RecordingSection", section).path
    if path is None:
        return []
    return [DeviceInfo("recording", str(path), f"{len(read_recording(path))} frames")]


class RecordingDevice:
    """Frames of a recording, each when it is due."""

    def __init__(self, section: RecordingSection) -> None:
        self._folder = _path(section)
        self._section = section
        self._recorded = read_recording(self._folder)
        self.name = f"recording {self._folder} of {len(self._recorded)} frames"
        self.frame_ids = FrameIds()
        self._numbering = Numbering()
        self._coming = self._numbered()
        self._next: tuple[Recorded, int] | None = None
        self._began_ns = time.monotonic_ns()

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next frame once it is due, or None. Raises SourceEndedError after the last one."""
        self._next = self._next or next(self._coming, None)
        if self._next is None:
            raise SourceEndedError(f"{self._folder}: no more frames")
        recorded, number = self._next
        wait_s = (self._due_ns(recorded) - time.monotonic_ns()) / NS_PER_S
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            return None
        time.sleep(max(wait_s, 0.0))
        self._next = None
        return self._read(recorded, number)

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def _read(self, recorded: Recorded, number: int) -> Capture:
        trigger_ns = None
        if recorded.trigger_ns is not None:
            trigger_ns = time.time_ns() + recorded.trigger_ns - recorded.arrived_ns
        try:
            capture = read_capture(self._folder, recorded)
        except RefusedCaptureError as error:
            error.frame_id, error.trigger_ns, error.lost_before = number, trigger_ns, 0
            raise
        return replace(capture, frame_id=number, trigger_ns=trigger_ns, lost_before=0)

    def _numbered(self) -> Iterator[tuple[Recorded, int]]:
        """The frames that had a number, with it; once, or again and again."""
        while True:
            opening = None
            self._began_ns = time.monotonic_ns()
            for recorded in self._recorded:
                if recorded.opening != opening:
                    opening = recorded.opening
                    self._numbering.opened(recorded.frame_ids)
                taken = self._numbering.take(recorded.frame_id, recorded.fields.get("lost_before", 0))
                if isinstance(taken, Numbered):
                    yield recorded, taken.seq
            if not self._section.repeat:
                return

    def _due_ns(self, recorded: Recorded) -> int:
        after_ns = recorded.arrived_ns - self._recorded[0].arrived_ns
        return self._began_ns + round(after_ns / self._section.speed)


def _path(section: RecordingSection) -> Path:
    if section.path is None:
        raise InputError('kind = "recording" needs path under [recording]')
    return section.path
