"""Finds the depth and the colour frame of one moment, by time and, if wanted, by frame number. Pure.

Both streams come in the order of their times. Each depth frame ends as a pair or alone; a colour frame alone is
dropped, because the depth frame's number counts. Times that are not of one clock, or that only say when a frame
arrived at the host, prove nothing: such a depth frame ends alone.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Literal

from cmfm_cameras.errors import Refusal

ARRIVAL: Final = "system_time"
"""librealsense's domain of times that the host made when a frame arrived, because the device's metadata is missing."""

MOST_COLOURS: Final = 8
"""Colour frames that wait for a depth; older ones are dropped, so that librealsense gets its buffers back."""


@dataclass(frozen=True, slots=True, eq=False)
class Stamped:
    """A frame of librealsense (`frame`, not looked at here) with its number, time, and the time's domain by name."""

    frame: Any
    number: int
    time_ms: float
    domain: str
    arrived_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Depth and colour of one moment."""

    depth: Stamped
    color: Stamped


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """A depth frame without colour, and why."""

    depth: Stamped
    reason: Refusal
    detail: str


class FramePairing:
    """Pairs by `rule` with times within `window_ms`; a depth waits `wait_ms` for its colour."""

    def __init__(
        self, rule: Literal["timestamp", "frame_number"], *, window_ms: float, wait_ms: float
    ) -> None:
        self._rule = rule
        self._window_ms, self._wait_s = window_ms, wait_ms / 1000
        self._depths: deque[Stamped] = deque()
        self._colors: deque[Stamped] = deque(maxlen=MOST_COLOURS)

    def offer_depth(self, depth: Stamped) -> None:
        """Take a depth frame."""
        self._depths.append(depth)

    def offer_color(self, color: Stamped) -> None:
        """Take a colour frame."""
        self._colors.append(color)

    def take(self, now_s: float, *, is_ended: bool = False) -> Pair | Alone | None:
        """Return the oldest depth frame that is decided at `now_s`; None if none is. `is_ended`: no more will come."""
        while self._depths:
            depth = self._depths[0]
            if not self._colors:
                is_late = is_ended or now_s - depth.arrived_s >= self._wait_s
                return self._alone("no colour frame came in time") if is_late else None
            color = self._colors[0]
            if problem := _clock_problem(depth, color):
                self._colors.popleft()
                return self._alone(problem, Refusal.OTHER_TRIGGER)
            ahead = self._ahead(depth, color)
            if ahead < 0:
                self._colors.popleft()
                continue
            if ahead > 0:
                return self._alone(f"the next colour frame is {_apart_ms(depth, color):.1f} ms later")
            self._colors.popleft()
            if abs(_apart_ms(depth, color)) > self._window_ms:
                return self._alone(
                    f"frame number {depth.number} of depth and colour are {_apart_ms(depth, color):.1f} ms apart",
                    Refusal.OTHER_TRIGGER,
                )
            return Pair(self._depths.popleft(), color)
        return None

    def _ahead(self, depth: Stamped, color: Stamped) -> float:
        """Above 0 if the colour frame is later than the depth frame, below 0 if it is earlier, 0 for one moment."""
        if self._rule == "frame_number":
            return color.number - depth.number
        apart_ms = _apart_ms(depth, color)
        return 0 if abs(apart_ms) <= self._window_ms else apart_ms

    def _alone(self, detail: str, reason: Refusal = Refusal.INCOMPLETE) -> Alone:
        depth = self._depths.popleft()
        return Alone(depth, reason, f"depth frame {depth.number}: {detail}")


def _apart_ms(depth: Stamped, color: Stamped) -> float:
    return color.time_ms - depth.time_ms


def _clock_problem(depth: Stamped, color: Stamped) -> str | None:
    if depth.domain != color.domain:
        return f"its time is of {depth.domain}, that of the colour frame of {color.domain}"
    if depth.domain == ARRIVAL:
        return (
            "times are those of arrival at the host, which do not tell the moment: the device's metadata is missing, "
            "enable it in the driver (docs/cameras.md)"
        )
    return None
