"""The numbers of one stream of frames: new, missing, announced. `sequence` states the rules. No I/O and no clock."""

from collections import OrderedDict
from collections.abc import Sequence
from enum import Enum, auto
from itertools import islice, takewhile
from typing import Final, NamedTuple

MAX_JUMP: Final = 100_000
"""Numbers of a believed jump that get a FAULT each: hours of a line without a worker. Further ones are only counted."""


class Fingerprint(NamedTuple):
    """Tells frames with the same number apart: two frames share it only if they are the same frame."""

    trigger_ns: int
    part_id: str


class Sighting(Enum):
    """The meaning of a number, given the numbers before it."""

    NEW = auto()
    DUPLICATE = auto()
    LATE = auto()  # its FAULT is already out (rule 3)
    REUSED = auto()  # another part has had the number (rule 4)
    JUMP = auto()  # too far off to be believed yet (rule 5)


class StreamSequence:
    """Tracks the numbers of one stream."""

    def __init__(self, *, first_seq: int, confirmed: bool, max_gap: int, window_ns: int) -> None:
        self.next_seq = first_seq
        self._confirmed = confirmed
        self._past: range = range(0)  # numbers before the first frame, until the stream is confirmed
        self.last_arrival_ns = 0
        self.skipped = 0  # numbers passed over by a confirmed jump, beyond those that get a FAULT each
        self._max_gap = max_gap
        self._window_ns = window_ns
        self._missing: dict[int, int] = {}  # seq -> time at which it counts as lost
        self._recent: OrderedDict[int, Fingerprint | None] = OrderedDict()  # None: its FAULT is out
        self._jumped_to: int | None = None
        self._announced: dict[int, int] = {}  # seq -> its deadline
        self.announces = False

    @classmethod
    def resumed(cls, answered: Sequence[int], *, max_gap: int, window_ns: int) -> "StreamSequence":
        """Return a stream of which an earlier boot has answered these numbers, sorted (rule 7)."""
        stream = cls(first_seq=answered[-1] + 1, confirmed=True, max_gap=max_gap, window_ns=window_ns)
        already_expired_ns = -window_ns  # nothing that was sent before the restart still comes
        stream._miss(range(answered[0], answered[-1]), already_expired_ns)
        for seq in answered:
            stream._missing.pop(seq, None)
            stream._remember(seq, None)
        return stream

    def sight(self, seq: int, fingerprint: Fingerprint, now_ns: int, *, sealed: bool = False) -> Sighting:
        """Record a frame with number `seq`. `sealed`: its header has been verified."""
        if seq in self._recent:
            known = self._recent[seq]
            if known is None:
                return Sighting.LATE
            return Sighting.DUPLICATE if known == fingerprint else Sighting.REUSED
        if self._jumps(seq):
            return Sighting.JUMP
        if self._is_known or sealed:
            self._confirm(now_ns)
            self._advance(seq, now_ns)
        else:
            self._past = range(self.next_seq, seq)
        self._missing.pop(seq, None)
        self._announced.pop(seq, None)
        self.next_seq = max(self.next_seq, seq + 1)
        self.last_arrival_ns = now_ns
        self._remember(seq, fingerprint)
        return Sighting.NEW

    def trigger(self, seq: int, due_ns: int, now_ns: int, *, sure: bool) -> tuple[Sighting, list[int]]:
        """Record that triggers up to `seq` have fired. Returns what the number means, and the new numbers (rule 8).

        `sure`: no flipped bit can have invented this stream, so rule 1 needs no second message.
        """
        if seq in self._recent:
            return Sighting.LATE if self._recent[seq] is None else Sighting.DUPLICATE, []
        if seq in self._announced:
            return Sighting.DUPLICATE, []
        if self._jumps(seq):
            return Sighting.JUMP, []
        self.announces = True
        first = min(self.next_seq, seq)
        if self._is_known or sure:
            self._confirm(now_ns)
        else:
            self._past, first = range(self.next_seq, seq), seq
        newest = max(first, seq - 1 - self._max_gap)
        self._miss(range(first, newest), now_ns)  # of a long jump (rule 5)
        numbers = list(range(newest, seq + 1)) if seq >= self.next_seq else [seq]
        self._missing.pop(seq, None)
        self._announced.update(dict.fromkeys(numbers, due_ns))
        self.next_seq = max(self.next_seq, seq + 1)
        return Sighting.NEW, numbers

    def announce(self, next_seq: int, now_ns: int) -> None:
        """Record the camera's statement that every number below `next_seq` has been sent."""
        self._confirm(now_ns)
        if 0 <= next_seq - self.next_seq <= self._max_gap:
            self._advance(next_seq, now_ns)
            self.next_seq = max(self.next_seq, next_seq)

    def expire(self, now_ns: int, most: int | None = None) -> list[int]:
        """Return the numbers no longer waited for, in order, each once. Of skipped ones `most` at once."""
        closed = (seq for seq, _ in takewhile(lambda item: item[1] <= now_ns, self._missing.items()))
        due = (seq for seq, until in self._announced.items() if until <= now_ns)
        lost = sorted([*islice(closed, most), *due])  # what is missing stands in the order of the windows
        for seq in lost:
            self.answer(seq)
        return lost

    def answer(self, seq: int) -> None:
        """Stop waiting for a number, because its FAULT is out."""
        self._missing.pop(seq, None)
        self._announced.pop(seq, None)
        self._remember(seq, None)

    def announced_due(self, before_ns: int) -> int | None:
        """Return the announced number that is due first, if it is due by a time; else None."""
        seq = min(self._announced, key=lambda number: (self._announced[number], number), default=None)
        return seq if seq is not None and self._announced[seq] <= before_ns else None

    def claim_next(self) -> int:
        """Use up the number that would have come next, for an orphan (rule 6)."""
        seq = self.next_seq
        self.next_seq += 1
        self._remember(seq, None)
        return seq

    @property
    def has_missing(self) -> bool:
        """Tell whether a number is still waited for."""
        return bool(self._missing or self._announced)

    @property
    def _is_known(self) -> bool:
        return bool(self._recent or self._announced or self._confirmed)

    def _jumps(self, seq: int) -> bool:
        """Tell whether a number lies too far off to be believed yet (rule 5)."""
        near = abs(seq - self.next_seq) <= self._max_gap or seq in self._missing or seq in self._announced
        if not near:
            if self._jumped_to is None or seq != self._jumped_to + 1:
                self._jumped_to = seq
                return True
            self._rebase(seq)
        self._jumped_to = None
        return False

    def _advance(self, seq: int, now_ns: int) -> None:
        self._miss(range(self.next_seq, seq), now_ns)

    def _confirm(self, now_ns: int) -> None:
        self._confirmed = True
        self._miss(self._past, now_ns)
        self._past = range(0)

    def _miss(self, numbers: range, now_ns: int) -> None:
        for seq in numbers:
            self._missing[seq] = now_ns + self._window_ns

    def _rebase(self, seq: int) -> None:
        # The frame before this one made the jump and was answered as an orphan; this one confirms it.
        self.skipped += max(seq - 1 - self.next_seq - MAX_JUMP, 0)
        first = max(self.next_seq, seq - 1 - MAX_JUMP) if seq > self.next_seq else seq
        self.next_seq = first

    def _remember(self, seq: int, fingerprint: Fingerprint | None) -> None:
        self._recent[seq] = fingerprint
        while len(self._recent) > 2 * self._max_gap + 64:
            self._recent.popitem(last=False)
