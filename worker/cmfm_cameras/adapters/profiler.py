"""A line-scan profiler over a belt as a camera (`cmfm_cameras.profiler`): rows, placed by the encoder, become frames.

A frame's id is its place in the row of frames that were begun. A frame that was begun and cannot be finished uses its
number. Rows that are lost, and rows that a belt which is too fast leaves out, are NaN in the frame, logged and counted.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

import structlog

from cmfm_cameras.capture import Capture
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError, SourceEndedError
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.profiler.belt import Belt
from cmfm_cameras.profiler.file_rows import FileRows
from cmfm_cameras.profiler.framing import Abandoned, Frame, FrameShape, Framing, Outcome
from cmfm_cameras.profiler.grid import Grid
from cmfm_cameras.profiler.profiles import RowSource
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_cameras.settings.load import DEPTH_FILE
from cmfm_cameras.settings.profiler import ProfilerSection
from cmfm_settings.section import Section


def check(section: Section) -> None:
    """Raise InputError if a key or a file is missing, or the GenICam device cannot run."""
    profiler = cast("ProfilerSection", section)
    if profiler.source == "files":
        if profiler.path is None:
            raise InputError('source = "files" needs path under [profiler]')
        return
    from cmfm_cameras.adapters.genicam import check as check_genicam

    check_genicam(_genicam(profiler))


def open_device(section: Section) -> "ProfilerDevice":
    """Open the profiler. Raises DeviceError if it is not there, InputError for wrong settings."""
    check(section)
    profiler = cast("ProfilerSection", section)
    return ProfilerDevice(_source(profiler), profiler)


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the folder of blocks, or the devices of the GenICam settings."""
    profiler = cast("ProfilerSection", section)
    if profiler.source == "files":
        if profiler.path is None or not profiler.path.is_dir():
            return []
        return [DeviceInfo("profiler", str(profiler.path), "blocks of profiles")]
    if profiler.settings is None:
        return []
    from cmfm_cameras.adapters.genicam import list_devices as list_genicam

    found = list_genicam(_genicam(profiler))
    return [DeviceInfo("profiler", info.identifier, info.description) for info in found]


class ProfilerDevice:
    """An open row source, and the frames that its rows make."""

    def __init__(self, source: RowSource, section: ProfilerSection) -> None:
        self.name = source.name
        self.frame_ids = FrameIds()
        self._source = source
        self._begun = 0
        self._blocks_refused = 0
        self._failure: Exception | None = None
        self._start = section.start
        self._finished: deque[Outcome] = deque()
        self._log = structlog.get_logger("profiler")
        grid = Grid(
            pitch_m=section.pitch_mm / 1000,
            left_m=section.left_mm / 1000,
            rows=section.rows,
            columns=section.columns,
            row_m=section.row_counts * section.um_per_count * 1e-6,
            steepest_deg=section.steepest_deg,
        )
        shape = FrameShape(
            grid,
            section.start,
            section.before_mm / 1000,
            section.overlap_mm / 1000,
            section.um_per_count * 1e-6,
        )
        most_m = 2 * (shape.length_m + section.pitch_mm / 1000)
        self._belt = Belt(
            bits=section.encoder_bits,
            direction=1 if section.direction == "up" else -1,
            row_counts=section.row_counts,
            most_counts=max(round(most_m / shape.metres_per_count), 10 * section.row_counts),
        )
        self._framing = Framing(self._belt, shape)
        self._said = dataclasses.asdict(self._belt.counts)

    @property
    def counts(self) -> dict[str, int]:
        """Rows that are in no frame, by cause, since the device was opened."""
        rows = {f"rows_{name}": value for name, value in dataclasses.asdict(self._belt.counts).items()}
        return {**rows, "blocks_refused": self._blocks_refused}

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next frame, or None if none is finished in time."""
        until_s = time.monotonic() + timeout_s
        while not self._finished:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return None
            if self._failure is not None:
                raise self._failure
            self._take(left_s)
        return self._capture(self._finished.popleft())

    def close(self) -> None:
        """Stop the source."""
        self._source.close()

    def _take(self, timeout_s: float) -> None:
        """Take a block. If the source is gone, the frames that were begun are given up first: each is a trigger."""
        try:
            block = self._source.profiles(timeout_s)
        except RefusedCaptureError as error:  # rows, and no part: they are missing in its frame
            self._blocks_refused += 1
            self._log.warning("block_refused", reason=str(error.reason), detail=str(error))
        except (DeviceError, SourceEndedError) as error:
            self._failure = error
            if isinstance(error, DeviceError) or self._start == "signal":
                self._finished.extend(self._framing.abandon(str(error)))
        else:
            if block is not None:
                self._finished.extend(self._framing.offer(block))
                self._say()

    def _capture(self, outcome: Outcome) -> Capture:
        self._begun += 1
        if isinstance(outcome, Abandoned):
            raise RefusedCaptureError(
                Refusal.INCOMPLETE, outcome.detail, frame_id=self._begun, trigger_ns=outcome.time_ns
            )
        return _as_capture(outcome, self._begun)

    def _say(self) -> None:
        """Log rows that are in no frame, with what changed since the last line."""
        now = dataclasses.asdict(self._belt.counts)
        changed = {name: value - self._said[name] for name, value in now.items() if value != self._said[name]}
        self._said = now
        if changed.keys() - {"standing"}:
            self._log.warning("rows_dropped", **changed)


def _as_capture(frame: Frame, number: int) -> Capture:
    return Capture(frame.rgb, frame.xyz, number, frame.time_ns, encoder=frame.encoder)


def _source(section: ProfilerSection) -> RowSource:
    if section.source == "files" and section.path is not None:
        return FileRows(section.path)
    from cmfm_cameras.gentl.profiles import GenicamRows

    return GenicamRows(_genicam(section), section)


def _genicam(section: ProfilerSection) -> GenicamSection:
    if section.settings is None:
        raise InputError('source = "genicam" needs settings under [profiler]: a file with [genicam]')
    return DEPTH_FILE.load(section.settings).settings.genicam
