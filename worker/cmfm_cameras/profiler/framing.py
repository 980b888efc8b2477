"""Cuts the belt's rows into frames: by a start signal, or one after the other with an overlap. Pure but for arrays."""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.profiler.belt import Belt
from cmfm_cameras.profiler.grid import Floats, Grid, Rows
from cmfm_cameras.profiler.profiles import Profiles

Start = Literal["signal", "continuous"]

MOST_OPEN: Final = 16
"""Frames that may be open at once: a start signal that chatters would open ever more."""


class Frame(NamedTuple):
    """A finished frame: colour and points (H, W, 3), the encoder's place at its start, and the time of that row.

    `missing` of its `rows` grid rows have no measurement.
    """

    rgb: NDArray[np.uint8]
    xyz: Floats
    encoder: int
    time_ns: int | None
    missing: int
    rows: int


class Abandoned(NamedTuple):
    """A frame that was begun and cannot be finished: the encoder's count started anew, or too many are open."""

    encoder: int
    time_ns: int | None
    detail: str


Outcome = Frame | Abandoned


@dataclass(frozen=True, slots=True)
class FrameShape:
    """A frame: its grid, its start, the share of it before the start signal, and the overlap of continuous frames."""

    grid: Grid
    start: Start
    before_m: float
    overlap_m: float
    metres_per_count: float

    @property
    def length_m(self) -> float:
        """From the first grid row to the last."""
        return (self.grid.rows - 1) * self.grid.pitch_m


class _Row(NamedTuple):
    y_m: float
    x_m: Floats
    z_m: Floats
    grey: NDArray[np.uint8]


class _Open(NamedTuple):
    top_m: float
    encoder: int
    time_ns: int | None


class Framing:
    """Takes blocks of profiles, gives finished frames."""

    def __init__(self, belt: Belt, shape: FrameShape) -> None:
        self._belt, self._shape = belt, shape
        self._rows: deque[_Row] = deque()
        self._open: deque[_Open] = deque()
        self._next_top_m: float | None = None
        self._was_on = True  # a signal that is on at the start has begun before

    def offer(self, block: Profiles) -> list[Outcome]:
        """Take a block; return the frames that it finishes."""
        outcomes: list[Outcome] = []
        for place in range(len(block)):
            row_id = None if block.row_id is None else int(block.row_id[place])
            placed = self._belt.place(int(block.encoder[place]), row_id)
            rises = self._rises(block.start is not None and bool(block.start[place]))
            if placed is not None:
                if placed.restarted:
                    outcomes += self.abandon("the encoder's count started anew")
                self._take(block, place, placed.counts * self._shape.metres_per_count)
            if self._shape.start == "signal" and rises and self._rows:
                self._begin(self._rows[-1].y_m - self._shape.before_m, block, place)
            outcomes += self._finished()
            if len(self._open) > MOST_OPEN:
                outcomes.append(self._drop(self._open.popleft(), f"{MOST_OPEN} frames are open at once"))
        self._forget()
        return outcomes

    def _rises(self, is_on: bool) -> bool:
        """Tell whether the start signal rises. A belt that runs back shows the signal of parts that were there."""
        if not self._belt.is_at_front:
            return False
        rises, self._was_on = is_on and not self._was_on, is_on
        return rises

    def _take(self, block: Profiles, place: int, y_m: float) -> None:
        self._rows.append(_Row(y_m, block.x_m[place], block.z_m[place], block.grey[place]))
        if self._shape.start == "continuous":
            if self._next_top_m is None:
                self._next_top_m = y_m
            step_m = self._shape.length_m + self._shape.grid.pitch_m - self._shape.overlap_m
            while y_m >= self._next_top_m - 1e-9:
                self._begin(self._next_top_m, block, place)
                self._next_top_m += step_m

    def _begin(self, top_m: float, block: Profiles, place: int) -> None:
        time_ns = None if block.time_ns is None else int(block.time_ns[place])
        self._open.append(_Open(top_m, round(top_m / self._shape.metres_per_count), time_ns))

    def _finished(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while self._open and self._rows:
            bottom_m = self._open[0].top_m + self._shape.length_m
            if self._rows[-1].y_m < bottom_m - 1e-9:
                break
            outcomes.append(self._frame(self._open.popleft()))
        return outcomes

    def _frame(self, begun: _Open) -> Frame:
        grid = self._shape.grid
        slack_m = 2 * grid.row_m
        low_m, high_m = begun.top_m - slack_m, begun.top_m + self._shape.length_m + slack_m
        rows = [row for row in self._rows if low_m <= row.y_m <= high_m]
        stacked = Rows(
            np.array([row.y_m for row in rows]),
            np.stack([row.x_m for row in rows]),
            np.stack([row.z_m for row in rows]),
            np.stack([row.grey for row in rows]),
        )
        rgb, xyz = grid.resampled(stacked, begun.top_m)
        missing = int(np.isnan(xyz[..., 2]).all(axis=1).sum())
        return Frame(rgb, xyz, begun.encoder, begun.time_ns, missing, grid.rows)

    def abandon(self, why: str) -> list[Outcome]:
        """Give up the frames that were begun; nothing before belongs to what comes."""
        outcomes: list[Outcome] = [self._drop(begun, why) for begun in self._open]
        self._open.clear()
        self._rows.clear()
        self._next_top_m = None
        return outcomes

    def _drop(self, begun: _Open, why: str) -> Abandoned:
        return Abandoned(
            begun.encoder, begun.time_ns, f"{why}: the frame begun at count {begun.encoder} is given up"
        )

    def _forget(self) -> None:
        """Drop rows that no frame needs any more."""
        if not self._rows:
            return
        needed_m = self._rows[-1].y_m - self._shape.before_m
        if self._open:
            needed_m = min(needed_m, self._open[0].top_m)
        if self._next_top_m is not None:
            needed_m = min(needed_m, self._next_top_m)
        while len(self._rows) > 1 and self._rows[0].y_m < needed_m - 3 * self._shape.grid.row_m:
            self._rows.popleft()
