"""Numbers of triggers from a device's frame ids. Pure: no clock, no sockets.

1. Within one opening of the device, seq = base + (frame_id - first frame_id). The first capture after an opening has
   the base: the number after the last one that was used.
2. Ids that were skipped are triggers without a frame: their numbers are used too.
3. An id that repeats is the same trigger: the capture is refused and uses no number.
4. An id that goes back, or that skips more than `MAX_SKIPPED`, is refused and uses no number. The device's count has
   started anew or is damaged, so the device must be opened again; the numbers then go on by rule 1.
5. A device without ids counts captures, and the frames that it says it lost.
6. A capture that a trigger message asked for has that message's number. Numbers between are triggers without a frame.
   One that is used already, or that skips more than `MAX_SKIPPED`, is refused and uses no number.

An id of `bits` bits wraps from its highest value to `lowest`. Of two ids the later one is at most half of the range
ahead.
"""

from dataclasses import dataclass
from typing import Final

from cmfm_cameras.errors import Refusal

MAX_SKIPPED: Final = 1000
"""Triggers without a frame between two captures. The worker believes no larger gap (`intake.max_gap`)."""


@dataclass(frozen=True, slots=True)
class FrameIds:
    """The range of a device's frame ids: `bits` wide, from `lowest`. GigE Vision: 16 bits from 1."""

    bits: int = 64
    lowest: int = 0

    @property
    def count(self) -> int:
        """The number of ids before they repeat."""
        return (1 << self.bits) - self.lowest

    def steps(self, before: int, after: int) -> int:
        """Return by how many ids `after` is ahead of `before`; negative if it is behind."""
        ahead = (after - before) % self.count
        return ahead if ahead <= self.count // 2 else ahead - self.count


@dataclass(frozen=True, slots=True)
class Numbered:
    """The number of a capture. The `skipped` numbers just below it are triggers without a frame."""

    seq: int
    skipped: int


@dataclass(frozen=True, slots=True)
class NotNumbered:
    """A capture that gets no number. `reopen`: the device must be opened again."""

    reason: Refusal
    detail: str
    reopen: bool


class Numbering:
    """Gives numbers to captures by the rules of this module. `next_seq` is the lowest number that is not used."""

    def __init__(self) -> None:
        self.next_seq = 0
        self._ids = FrameIds()
        self._last_id: int | None = None

    def opened(self, ids: FrameIds) -> None:
        """The device was opened, for the first time or again."""
        self._ids = ids
        self._last_id = None

    def take(
        self, frame_id: int | None, lost_before: int = 0, seq: int | None = None
    ) -> Numbered | NotNumbered:
        """Return the number of the next capture, or why it gets none. `seq`: the number that it was asked for by."""
        if seq is not None:
            return _refused_number(seq, self.next_seq) or self._use(seq - self.next_seq)
        if frame_id is None:
            return self._use(min(max(lost_before, 0), MAX_SKIPPED))
        steps = 1 if self._last_id is None else self._ids.steps(self._last_id, frame_id)
        if refused := _refused(steps, self._last_id, frame_id):
            return refused
        self._last_id = frame_id
        return self._use(steps - 1)

    def _use(self, skipped: int) -> Numbered:
        seq = self.next_seq + skipped
        self.next_seq = seq + 1
        return Numbered(seq, skipped)


def _refused(steps: int, last_id: int | None, frame_id: int) -> NotNumbered | None:
    if steps == 0:
        return NotNumbered(Refusal.REPEATED_ID, f"frame id {frame_id} came twice", reopen=False)
    if steps < 0:
        detail = f"frame id {frame_id} after {last_id}: the device's count went back"
        return NotNumbered(Refusal.ID_BACK, detail, reopen=True)
    if steps - 1 > MAX_SKIPPED:
        detail = f"frame id {frame_id} after {last_id} skips {steps - 1}; at most {MAX_SKIPPED} are believed"
        return NotNumbered(Refusal.ID_JUMP, detail, reopen=True)
    return None


def _refused_number(seq: int, next_seq: int) -> NotNumbered | None:
    if seq < next_seq:
        return NotNumbered(Refusal.REPEATED_ID, f"number {seq} is used; {next_seq} is the next", reopen=False)
    if seq - next_seq > MAX_SKIPPED:
        detail = f"number {seq} skips {seq - next_seq}; at most {MAX_SKIPPED} are believed"
        return NotNumbered(Refusal.ID_JUMP, detail, reopen=False)
    return None
