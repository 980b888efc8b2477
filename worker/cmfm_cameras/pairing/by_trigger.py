"""Pairs halves by trigger: by numbers and times that must agree, never by the nearest time alone.

Each device delivers in order, so two queues are compared at their heads. The evidence of one pair:

- *Numbers*: trigger ids, or frame ids counted from a pair that is known. The rule `timestamp` uses none.
- *Times*: of clocks that are synchronised (PTP), or of each device's own clock. Those differ by an offset that is
  learned from the pair before, and may drift apart by `DRIFT` in between.

A pair is one trigger if all evidence says so. Else the half that is older by its time has no partner. If numbers and
times disagree, a device missed a trigger without counting it: what disagrees is not published, and frame ids are
counted anew from the next pair whose times agree.

At the start, and after a pause in which free clocks may have drifted too far, nothing is known about devices with
clocks of their own. Then a pair is believed if it is alone: one half of each, and no other within `wait_ns` after them.
"""

from collections import deque
from typing import Final, Literal, NamedTuple

from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.pairing.half import Cause, Half, Outcome, Pair, Side, Single

Rule = Literal["trigger_id", "frame_id", "timestamp"]

DRIFT: Final = 200e-6
"""Rate by which two free clocks may run apart; crystals keep within a quarter of it."""


class _Entry(NamedTuple):
    """A half that waits: its number, None if the rule uses none, and the time since the half before."""

    half: Half
    number: int | None
    since_last_ns: int | None


class TriggerPairing:
    """Pairs the halves of two devices by `rule`.

    `window_ns`: largest difference of the times of one trigger. `wait_ns`: how long a half waits for the other.
    `delay_ns`: by how much the depth sensor's time is later than the picture's, if the clocks are synchronised. `ids`:
    the range of each device's frame ids.
    """

    def __init__(
        self, rule: Rule, ids: dict[Side, FrameIds], *, window_ns: int, wait_ns: int, delay_ns: int = 0
    ) -> None:
        self._rule: Rule = rule
        self._ids = ids
        self._window_ns, self._wait_ns, self._delay_ns = window_ns, wait_ns, delay_ns
        self._waiting: dict[Side, deque[_Entry]] = {side: deque() for side in Side}
        self._starting: list[_Entry] = []
        self._offset_ns: int | None = (
            None  # depth's clock less the picture's, of devices with clocks of their own
        )
        self._offset_at_ns = 0  # the picture's time when it was learned
        self._numbers: dict[Side, tuple[int, int]] = {}  # newest id of each device, and its number
        self._times: dict[Side, int] = {}  # newest time of each device
        self._difference = (
            0 if rule == "trigger_id" else None
        )  # of the numbers of one trigger, picture less depth
        self._decided: int | None = None  # the depth sensor's number of the newest trigger

    def offer(self, half: Half) -> list[Outcome]:
        """Take a half; return what is decided by it."""
        if problem := self._unusable(half):
            return [Single(half, Cause.UNUSABLE, problem)]
        outcomes = self._decided_start(half.arrived_ns)
        entry = self._entry(half)
        if self._needs_start(half):
            self._starting.append(entry)
            return outcomes
        self._waiting[half.side].append(entry)
        return outcomes + self._compared()

    def expire(self, now_ns: int) -> list[Outcome]:
        """Return what has waited long enough at `now_ns`."""
        outcomes = self._decided_start(now_ns)
        for queue in self._waiting.values():
            while queue and now_ns - queue[0].half.arrived_ns >= self._wait_ns:
                outcomes.append(self._alone(queue.popleft(), Cause.MISSING))
        return outcomes

    def flush(self) -> list[Outcome]:
        """Give up everything that waits: a device is gone."""
        outcomes: list[Outcome] = list(self._unknown())
        for queue in self._waiting.values():
            while queue:
                outcomes.append(self._alone(queue.popleft(), Cause.MISSING))
        return outcomes

    def _unusable(self, half: Half) -> str | None:
        capture = half.capture
        if self._rule == "timestamp" and not half.is_synchronised:
            return f"the clock of the {half.side} is not synchronised (PTP); pair_by = timestamp needs it"
        if self._rule == "trigger_id" and capture.trigger_id is None:
            return f"the {half.side} does not say the number of its trigger; pair_by = trigger_id needs it"
        if self._rule == "frame_id" and (capture.frame_id is None or half.device_ns is None):
            return (
                f"the {half.side} has no frame id, or no time of its own; pair_by = frame_id needs both, because "
                "numbers alone do not show that a device missed a trigger"
            )
        return None

    def _entry(self, half: Half) -> _Entry:
        before_ns = self._times.get(half.side)
        since_ns = None if before_ns is None or half.device_ns is None else half.device_ns - before_ns
        if half.device_ns is not None:
            self._times[half.side] = half.device_ns
        return _Entry(half, self._number(half), since_ns)

    def _number(self, half: Half) -> int | None:
        """The device's count, unwrapped. Frame ids start from 0, trigger ids from what they say."""
        found = half.capture.trigger_id if self._rule == "trigger_id" else half.capture.frame_id
        if self._rule == "timestamp" or found is None:
            return None
        if half.side in self._numbers:
            last_id, last_number = self._numbers[half.side]
            number = last_number + self._ids[half.side].steps(last_id, found)
        else:
            number = found if self._rule == "trigger_id" else 0
        self._numbers[half.side] = (found, number)
        return number

    def _needs_start(self, half: Half) -> bool:
        """Tell whether the clocks' offset is not known, of devices that have clocks which are not synchronised."""
        if half.is_synchronised or half.device_ns is None:
            return False
        if self._offset_ns is None:
            return True
        return not any(self._waiting.values()) and self._drifted_ns(half) > self._window_ns

    def _drifted_ns(self, half: Half) -> float:
        at_ns = (
            self._offset_at_ns if half.side is Side.PICTURE else self._offset_at_ns + (self._offset_ns or 0)
        )
        return DRIFT * abs((half.device_ns or 0) - at_ns)

    def _decided_start(self, now_ns: int) -> list[Outcome]:
        """Decide about the halves of the start, once they have been alone for long enough."""
        if not self._starting or now_ns - self._starting[-1].half.arrived_ns < self._wait_ns:
            return []
        by_side = {entry.half.side: entry for entry in self._starting}
        if len(self._starting) != 2 or len(by_side) != 2:
            return self._unknown()
        self._starting = []
        picture, depth = by_side[Side.PICTURE], by_side[Side.DEPTH]
        if self._rule == "trigger_id" and picture.number != depth.number:
            return [self._contradicted(picture, depth)]
        return [self._paired(picture, depth)]

    def _unknown(self) -> list[Outcome]:
        """Give up the halves of the start: as many triggers as the device with more of them has."""
        counts = {side: [entry for entry in self._starting if entry.half.side is side] for side in Side}
        triggers = max(counts.values(), key=len)
        detail = (
            f"{len(counts[Side.PICTURE])} pictures and {len(counts[Side.DEPTH])} depths without a pause of "
            f"{self._wait_ns / 1e6:g} ms (wait_ms) since the start: nothing tells which belong together"
        )
        self._starting = []
        return [Single(entry.half, Cause.UNKNOWN_START, detail) for entry in triggers]

    def _compared(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        pictures, depths = self._waiting[Side.PICTURE], self._waiting[Side.DEPTH]
        while pictures and depths:
            picture, depth = pictures[0], depths[0]
            ahead_ns, ahead = self._time_ahead(picture, depth), self._number_ahead(picture, depth)
            same_time = ahead_ns is None or abs(ahead_ns) <= self._allowed_ns(picture.half)
            if same_time and not ahead:
                outcomes.append(self._paired(pictures.popleft(), depths.popleft()))
            elif same_time and ahead_ns is not None:
                outcomes.append(self._contradicted(pictures.popleft(), depths.popleft()))
            else:
                is_later = ahead_ns > 0 if ahead_ns is not None else (ahead or 0) > 0
                alone = depths.popleft() if is_later else pictures.popleft()
                agrees = ahead_ns is None or ahead is None or ahead * ahead_ns > 0
                outcomes.append(self._alone(alone, Cause.MISSING if agrees else Cause.SHIFTED))
        return outcomes

    def _time_ahead(self, picture: _Entry, depth: _Entry) -> int | None:
        """By how much the picture was taken after the depth; None if the times cannot be compared."""
        if picture.half.device_ns is None or depth.half.device_ns is None:
            return None
        if picture.half.is_synchronised and depth.half.is_synchronised:
            return picture.half.device_ns + self._delay_ns - depth.half.device_ns
        if self._offset_ns is None:
            return None
        return picture.half.device_ns + self._offset_ns - depth.half.device_ns

    def _number_ahead(self, picture: _Entry, depth: _Entry) -> int | None:
        """How many triggers the picture's number is ahead; None if the numbers cannot be compared."""
        if picture.number is None or depth.number is None or self._difference is None:
            return None
        return picture.number - depth.number - self._difference

    def _allowed_ns(self, picture: Half) -> float:
        return self._window_ns + (0 if picture.is_synchronised else self._drifted_ns(picture))

    def _paired(self, picture: _Entry, depth: _Entry) -> Outcome:
        self._learn(picture, depth)
        lost = self._lost_before(depth.number)
        if self._rule == "timestamp" and any(self._is_dense(entry) for entry in (picture, depth)):
            detail = (
                "the trigger before was less than two windows (window_ms) ago: times cannot tell them apart"
            )
            return Single(picture.half, Cause.TOO_DENSE, detail, lost)
        return Pair(picture.half, depth.half, lost)

    def _learn(self, picture: _Entry, depth: _Entry) -> None:
        if picture.half.device_ns is not None and depth.half.device_ns is not None:
            self._offset_ns = depth.half.device_ns - picture.half.device_ns
            self._offset_at_ns = picture.half.device_ns
        if self._rule == "frame_id" and picture.number is not None and depth.number is not None:
            if self._difference is None:
                self._decided = None
            self._difference = picture.number - depth.number

    def _is_dense(self, entry: _Entry) -> bool:
        return entry.since_last_ns is not None and entry.since_last_ns < 2 * self._window_ns

    def _contradicted(self, picture: _Entry, depth: _Entry) -> Outcome:
        """Times say one trigger, numbers say two."""
        detail = (
            f"the times of picture {picture.half.capture.frame_id} and depth {depth.half.capture.frame_id} say one "
            "trigger, their numbers say two: a device missed a trigger without counting it"
        )
        self._forget_numbers()
        return Single(picture.half, Cause.SHIFTED, detail)

    def _alone(self, entry: _Entry, cause: Cause) -> Outcome:
        half = entry.half
        lost = self._lost_before(self._common(entry))
        if cause is Cause.SHIFTED:
            self._forget_numbers()
            detail = (
                f"{half.side} {half.capture.frame_id} and the {half.side.other} of the same number have times of two "
                "triggers: a device missed a trigger without counting it"
            )
            return Single(half, cause, detail, lost)
        return Single(
            half, cause, f"the {half.side.other} of {half.side} {half.capture.frame_id} did not come", lost
        )

    def _forget_numbers(self) -> None:
        if self._rule == "frame_id":
            self._difference = None
        self._decided = None

    def _common(self, entry: _Entry) -> int | None:
        """The depth sensor's number of an entry's trigger."""
        if entry.number is None or self._difference is None:
            return None
        return entry.number - self._difference if entry.half.side is Side.PICTURE else entry.number

    def _lost_before(self, number: int | None) -> int:
        """Triggers that both devices lost before this one, by its number."""
        if number is None:
            return 0
        before, self._decided = self._decided, number
        return 0 if before is None else max(number - before - 1, 0)
