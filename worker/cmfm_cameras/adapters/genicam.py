"""A GenICam camera behind any GenTL producer (`cmfm_cameras.gentl`): picture and points of one multi-part buffer.

Its frame ids are the producer's. The trigger time is the device's timestamp while PTP holds its clock, else none.
Values of one frame (chunk data) count before those of the device.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from cmfm_cameras.capture import NO_PICTURE, NO_POINTS, Capture
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import InputError, RefusedCaptureError
from cmfm_cameras.gentl.producers import producers, require_packages
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_protocol.clock import NS_PER_S
from cmfm_settings.section import Section

if TYPE_CHECKING:
    from cmfm_cameras.gentl.raw_frame import RawFrame


def check(section: Section) -> None:
    """Raise InputError if a package or a producer is missing."""
    require_packages()
    producers(cast("GenicamSection", section))


def open_device(section: Section) -> "GenicamDevice":
    """Open the device of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
    check(section)
    return GenicamDevice(cast("GenicamSection", section))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the devices that the producers find now. Raises InputError if there is no producer."""
    check(section)
    from cmfm_cameras.gentl.session import list_genicam

    return list_genicam(cast("GenicamSection", section))


class GenicamDevice:
    """One open GenICam device."""

    def __init__(self, section: GenicamSection) -> None:
        from cmfm_cameras.gentl.nodes import read_scan3d
        from cmfm_cameras.gentl.session import Session

        self._section = section
        self._session = Session(section)
        self.name, self.frame_ids = self._session.name, self._session.frame_ids
        self._nodes = self._session.nodes
        self._lost = 0
        self._triggered_s = time.monotonic()
        self._has_scan3d_chunk: bool | None = None
        try:
            self._scan3d = read_scan3d(self._nodes, section)
        except InputError:
            self.close()
            raise

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next frame, or None if none came in time."""
        self._trigger_if_due()
        with self._session.frame(timeout_s) as frame:
            if frame is None:
                return None
            try:
                return self._capture(frame)
            except RefusedCaptureError as error:
                error.frame_id = frame.frame_id
                error.trigger_ns = self._trigger_ns(frame)
                raise

    def close(self) -> None:
        """Stop the device and release it."""
        self._session.close()

    def _capture(self, frame: "RawFrame") -> Capture:
        from cmfm_cameras.gentl.colour import picture, picture_part
        from cmfm_cameras.gentl.points import points, require_same_pixels

        lost = self._session.lost()
        lost_before, self._lost = lost - self._lost, lost
        rgb, xyz = NO_PICTURE, NO_POINTS
        if self._section.content != "points":
            colour = picture_part(frame.parts)
            rgb = picture(frame.raw, colour)
        if self._section.content == "both":
            require_same_pixels(colour, frame.parts)
        if self._section.content != "picture":
            self._read_scan3d_chunk()
            xyz = points(frame.raw, frame.parts, self._scan3d)
        encoder = self._nodes.get("ChunkEncoderValue")
        trigger_id = self._nodes.get(self._section.trigger_id) if self._section.trigger_id else None
        return Capture(
            rgb=rgb,
            xyz=xyz,
            frame_id=frame.frame_id,
            trigger_ns=self._trigger_ns(frame),
            encoder=encoder if isinstance(encoder, int) else None,
            exposure_us=self._nodes.number("ChunkExposureTime"),
            gain=self._nodes.number("ChunkGain"),
            temperature_c=self._session.temperature_c(),
            lost_before=lost_before,
            device_ns=frame.timestamp_ns,
            trigger_id=trigger_id if isinstance(trigger_id, int) else None,
        )

    def _read_scan3d_chunk(self) -> None:
        """Take scale, offset and pose from the frame itself, if it carries them."""
        from cmfm_cameras.gentl.nodes import read_scan3d

        if self._has_scan3d_chunk is None:
            self._has_scan3d_chunk = self._nodes.get("ChunkScan3dOutputMode") is not None
        if self._has_scan3d_chunk:
            self._scan3d = read_scan3d(self._nodes, self._section, "Chunk")

    def _trigger_ns(self, frame: "RawFrame") -> int | None:
        if frame.timestamp_ns is None or not self._session.is_synchronised():
            return None
        return frame.timestamp_ns - round(self._section.ptp_ahead_s * NS_PER_S)

    def _trigger_if_due(self) -> None:
        now_s = time.monotonic()
        if self._section.trigger != "software" or now_s - self._triggered_s < self._section.software_s:
            return
        with self._session.errors("takes no trigger"), contextlib.suppress(InputError):
            self._nodes.execute("TriggerSoftware")  # refused while the frame before is exposed: tried again
            self._triggered_s = now_s
