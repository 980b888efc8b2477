"""Profiles of a GenICam line-scan sensor: each row of a buffer is one, with its encoder count and start signal."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl.colour import picture, picture_part
from cmfm_cameras.gentl.nodes import Nodes, read_scan3d
from cmfm_cameras.gentl.parts import Part, channels, planes
from cmfm_cameras.gentl.points import point_parts, require_same_pixels
from cmfm_cameras.gentl.raw_frame import RawFrame
from cmfm_cameras.gentl.scan3d import Axis, Scan3d
from cmfm_cameras.gentl.session import Session
from cmfm_cameras.profiler.profiles import Profiles
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_cameras.settings.profiler import ProfilerSection
from cmfm_protocol.clock import NS_PER_S

LINE_SELECTOR: Final = "ChunkScanLineSelector"
"""SFNC: selects the row of the buffer that the chunk features are about."""

Numbers = NDArray[Any]


class GenicamRows:
    """An open GenICam profiler. Raises DeviceError, InputError."""

    def __init__(self, section: GenicamSection, profiler: ProfilerSection) -> None:
        self._section, self._profiler = section, profiler
        self._session = Session(section)
        self.name = self._session.name
        self._nodes: Nodes = self._session.nodes
        try:
            self._scan = read_scan3d(self._nodes, section)
        except BaseException:
            self.close()
            raise

    def profiles(self, timeout_s: float) -> Profiles | None:
        """Return the rows of the next buffer, or None if none came in time."""
        with self._session.frame(timeout_s) as frame:
            return None if frame is None else self._profiles(frame)

    def close(self) -> None:
        """Stop the device and release it."""
        self._session.close()

    def _profiles(self, frame: RawFrame) -> Profiles:
        colour = picture_part(frame.parts)
        require_same_pixels(colour, frame.parts)
        x_m, z_m = lateral_and_distance(frame.raw, frame.parts, self._scan, self._profiler)
        rows = len(z_m)
        first = None if frame.frame_id is None else frame.frame_id * rows
        ids = None if first is None else first + np.arange(rows, dtype=np.int64)
        encoder, start = self._chunks(rows)
        if self._profiler.encoder_from == "rows":
            if ids is None:
                raise RefusedCaptureError(
                    Refusal.UNSUPPORTED, "the device numbers no frames; encoder_from = rows needs that"
                )
            encoder = ids * self._profiler.row_counts
        time_ns = None
        if frame.timestamp_ns is not None and self._session.is_synchronised():
            at_ns = frame.timestamp_ns - round(self._section.ptp_ahead_s * NS_PER_S)
            time_ns = np.full(rows, at_ns, np.int64)
        grey = picture(frame.raw, colour)[..., 1].copy()
        return Profiles(x_m, z_m, grey, encoder, ids, start, time_ns)

    def _chunks(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Encoder count and start signal of each row: by the device's selector of rows, or of a buffer of one row."""
        encoder, start = np.zeros(rows, np.int64), np.zeros(rows, bool)
        by_row = self._nodes.get(LINE_SELECTOR) is not None
        wants_encoder = self._profiler.encoder_from == "chunk"
        if wants_encoder and not by_row and rows > 1:
            raise RefusedCaptureError(
                Refusal.UNSUPPORTED,
                f"the buffer holds {rows} profiles and the device has no {LINE_SELECTOR}, so their encoder counts are "
                "not known; set a height of 1, or encoder_from = rows",
            )
        for row in range(rows):
            if by_row:
                self._nodes.set(LINE_SELECTOR, row)
            if wants_encoder:
                encoder[row] = self._count()
            status = self._nodes.get(self._profiler.start_feature)
            start[row] = isinstance(status, int) and bool(status >> self._profiler.start_bit & 1)
        return encoder, start

    def _count(self) -> int:
        value = self._nodes.get("ChunkEncoderValue")
        if not isinstance(value, int):
            raise RefusedCaptureError(
                Refusal.INCOMPLETE,
                "the frame carries no ChunkEncoderValue; enable it ([genicam] features: ChunkModeActive=1, "
                "ChunkSelector=EncoderValue, ChunkEnable=1), or set encoder_from = rows",
            )
        return value


def lateral_and_distance(
    raw: bytes | memoryview, parts: tuple[Part, ...], scan: Scan3d, profiler: ProfilerSection
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and the distance from the sensor (n, w) float32 metres of a buffer's rows; NaN where missing.

    Without Coord3D_A, x follows from the column by the scale and offset of A. Raises RefusedCaptureError.
    """
    axes = _axes(raw, parts)
    if "C" not in axes:
        raise RefusedCaptureError(Refusal.INCOMPLETE, "the buffer holds no component Coord3D_C")
    c = axes["C"]
    a = axes.get("A", np.broadcast_to(np.arange(c.shape[1]), c.shape))
    missing = _is_missing(c, scan.axes[2])
    if scan.zero_is_missing:
        missing |= c == 0
    z_m, x_m = _metres(c, scan.axes[2], scan.metres), _metres(a, scan.axes[0], scan.metres)
    sign = -1 if profiler.z == "height" else 1
    z_m = np.float32(profiler.standoff_mm / 1000) + np.float32(sign) * z_m
    z_m[missing] = np.nan
    if scan.axes[0].scale < 0:
        x_m, z_m = x_m[:, ::-1], z_m[:, ::-1]
    return np.ascontiguousarray(x_m), np.ascontiguousarray(z_m)


def _axes(raw: bytes | memoryview, parts: tuple[Part, ...]) -> dict[str, Numbers]:
    axes: dict[str, Numbers] = {}
    for part in point_parts(parts):
        views = planes(raw, part) if part.format.planar else np.moveaxis(channels(raw, part), -1, 0)
        axes.update(zip(part.format.axes, views, strict=True))
    return axes


def _metres(numbers: Numbers, axis: Axis, metres: float) -> NDArray[np.float32]:
    values = np.multiply(numbers, axis.scale * metres, dtype=np.float64) + axis.offset * metres
    return values.astype(np.float32)


def _is_missing(numbers: Numbers, axis: Axis) -> NDArray[np.bool_]:
    if axis.invalid is None:
        return np.zeros(numbers.shape, bool)
    return np.asarray(np.isnan(numbers) if np.isnan(axis.invalid) else numbers == axis.invalid)
