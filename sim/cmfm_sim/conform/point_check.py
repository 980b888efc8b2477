"""Points: unit, frame of reference, marks of points that were not measured, and repeated bytes."""

import zlib
from typing import Final

import numpy as np

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.points import measured, point_facts
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

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


class RepeatCheck:
    """Finds frames with the bytes of the frame before them on their stream: a frozen grabber."""

    def __init__(self) -> None:
        self._log = CheckLog("repeated bytes", "Sequence")
        self._last: dict[str, tuple[int, int, int]] = {}
        self._frames = 0

    def decoded(self, heard: Heard, frame: Frame) -> tuple[int, int]:
        """Compare a readable frame with the one before. Returns the CRC-32 of both arrays."""
        self._frames += 1
        rgb, xyz = (zlib.crc32(np.ascontiguousarray(array).data) for array in (frame.rgb, frame.xyz))
        seq = frame.header.seq
        before = self._last.get(frame.header.stream_uuid)
        self._last[frame.header.stream_uuid] = (seq, rgb, xyz)
        if before is None or before[0] == seq:
            return rgb, xyz
        if before[1:] == (rgb, xyz):
            self._log.fail(
                "the bytes of the frame before, under a new number",
                'a frozen grabber or driver is a FAULT repeated_frame; a test source needs intake.repeated = "warn"',
                f"{heard.name} after frame {before[0]}",
            )
        elif rgb == before[1] or xyz == before[2]:
            which = "rgb" if rgb == before[1] else "xyz"
            self._log.remark(
                f"{which} has the bytes of the frame before, and the other array has not",
                "does one half of the camera stand still? The worker does not see that",
                f"{heard.name} after frame {before[0]}",
            )
        return rgb, xyz

    def lines(self) -> list[ReportLine]:
        """The report."""
        return self._log.lines("no frame repeats the one before" if self._frames > 1 else "")
