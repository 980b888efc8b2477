"""Points: unit, frame of reference, marks of points that were not measured, and repeated bytes."""

import zlib
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.points import measured, point_facts
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

BUFFERS: Final = 16
"""Frames with which each array is compared alone, as in the worker."""

FEW: Final = 0.01
"""Share of measured points below which a frame shows nothing."""


class PointCheck:
    """Looks at the values of `xyz`, as the worker does before it inspects a frame."""

    def __init__(self) -> None:
        self._log = CheckLog("points", "Array description")
        self._distances: list[float] = []
        self._shares: list[float] = []

    def decoded(self, heard: Heard, frame: Frame) -> None:
        """Look at the points of a readable frame."""
        facts = point_facts(frame.xyz)
        share = float(measured(frame.xyz).mean())
        if facts.problem:
            self._log.fail(
                facts.problem,
                "metres in the sensor's frame, z away from the sensor (FAULT implausible_3d otherwise)",
                heard.name,
            )
        elif share == 0:
            self._log.fail(
                "a frame without a measured point", "FAULT no_valid_3d: look at sensor and mask", heard.name
            )
        elif share < FEW:
            self._log.remark("a frame with less than 1 % of points measured", "part in view?", heard.name)
        if facts.impossible_px:
            self._log.remark(
                "points that can be neither measured nor marked as missing",
                "mark a point that was not measured by NaN or (0, 0, 0); others count as not measured too",
                f"{heard.name}: {facts.impossible_px}, such as {_example(frame)}",
            )
        if facts.distance_m is not None and not facts.problem:
            self._distances.append(facts.distance_m)
        self._shares.append(share)

    def lines(self) -> list[ReportLine]:
        """The report."""
        if not self._distances:
            return self._log.lines()
        if min(self._shares) == 1:
            self._log.remark(
                "every point of every frame was measured",
                "right, if the sensor has no shadow; a camera that fills gaps invents surface",
            )
        return self._log.lines(
            f"metres, median distance {float(np.median(self._distances)):.3g} m, "
            f"{float(np.mean(self._shares)):.0%} of the points measured"
        )


def _example(frame: Frame) -> str:
    points = frame.xyz[~measured(frame.xyz)]
    points = points[~np.isnan(points).any(axis=1) & points.any(axis=1)]
    return f"({', '.join(f'{value:.6g}' for value in points[0].tolist())})"


class Content(NamedTuple):
    """Size and CRC-32 of a frame's arrays."""

    shape: tuple[int, ...]
    rgb: int
    xyz: int


Key = tuple[str, int]
"""stream_uuid and seq."""


class RepeatCheck:
    """Finds frames with the bytes of an earlier one, by the rules of the worker: a frozen grabber, buffers in turn.

    Simulated frames are compared with the one before on their stream alone.
    """

    def __init__(self) -> None:
        self._log = CheckLog("repeated bytes", "Sequence")
        self._seen: dict[Content, Key] = {}
        self._newest: deque[tuple[Key, Content]] = deque(maxlen=BUFFERS)
        self._simulated: dict[str, tuple[Key, Content]] = {}
        self._frames = 0

    def decoded(self, heard: Heard, frame: Frame) -> Content:
        """Compare a readable frame with earlier ones. Returns its content."""
        self._frames += 1
        rgb, xyz = (zlib.crc32(np.ascontiguousarray(array).data) for array in (frame.rgb, frame.xyz))
        content, key = Content(frame.rgb.shape, rgb, xyz), (frame.header.stream_uuid, frame.header.seq)
        if frame.header.simulated:
            self._compare_simulated(heard, key, content)
        else:
            self._compare(heard, key, content, frame)
        return content

    def lines(self) -> list[ReportLine]:
        """The report."""
        return self._log.lines("no frame repeats an earlier one" if self._frames > 1 else "")

    def _compare(self, heard: Heard, key: Key, content: Content, frame: Frame) -> None:
        before = self._seen.setdefault(content, key)
        if before != key:
            self._repeats(heard, "the bytes", before)
        else:
            for earlier, other in reversed(self._newest):
                if earlier == key or other.shape != content.shape:
                    continue
                if other.rgb == content.rgb and not _is_uniform(frame.rgb):
                    self._repeats(heard, "the rgb", earlier)
                    break
                if other.xyz == content.xyz and not _is_uniform(frame.xyz):
                    self._repeats(heard, "the xyz", earlier)
                    break
        self._newest.append((key, content))

    def _compare_simulated(self, heard: Heard, key: Key, content: Content) -> None:
        before = self._simulated.get(key[0])
        self._simulated[key[0]] = (key, content)
        if before is not None and before[0] != key and before[1] == content:
            self._repeats(heard, "the bytes", before[0])

    def _repeats(self, heard: Heard, what: str, before: Key) -> None:
        self._log.fail(
            f"{what} of an earlier frame, under a new number",
            "no sensor gives the same bytes twice (FAULT repeated_frame): look at grabber, driver and buffers. A test "
            'source that plays pictures again sends simulated: true, or needs intake.repeated = "warn"',
            f"{heard.name} as frame {before[1]}",
        )


def _is_uniform(array: NDArray[np.uint8] | NDArray[np.float32]) -> bool:
    """True if all pixels are equal: nothing was measured, or there was no light."""
    pixels = array.reshape(-1, array.shape[-1])
    return bool(
        np.array_equal(pixels, np.broadcast_to(pixels[0], pixels.shape), equal_nan=array.dtype != np.uint8)
    )
