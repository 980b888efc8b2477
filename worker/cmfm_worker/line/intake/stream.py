"""The numbers of one stream of frames: new, missing, announced. `sequence` states the rules. No I/O and no clock."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from itertools import islice, takewhile
from typing import Final, NamedTuple

from cmfm_worker.line.intake.content import Content
from cmfm_worker.line.intake.number_set import NumberSet

MAX_JUMP: Final = 100_000
"""Numbers of a believed jump that get a FAULT each: hours of a line without a worker. Further ones are only counted."""

SMALL_GAP: Final = 2
"""Skipped numbers that one message is believed if the stream is silent for the reorder window."""

SILENT_WINDOWS: Final = 50
"""Reorder windows of silence after which a larger gap is believed: 10 s by default."""

NEAR: Final = 8
"""How far beyond a claim the message that confirms it may lie; numbers that one trigger message opens below its own."""

UNKNOWN_NS: Final = 1 << 62
"""Time of a verdict that is not known: no trigger counts as later than it."""


class Fingerprint(NamedTuple):
    """Tells frames with the same number apart. What a damaged frame does not say is None or empty."""

    trigger_ns: int
    part_id: str
    content: Content | None = None
    recipe: str = ""
    calib_id: str = ""

    def same_part(self, other: "Fingerprint") -> bool:
        """Tell whether two frames say that they show the same part, triggered at the same time."""
        return (self.trigger_ns, self.part_id) == (other.trigger_ns, other.part_id)

    def contradicts(self, other: "Fingerprint") -> bool:
        """Tell whether two readable frames of the same part differ in their bytes, recipe or calibration."""
        return None not in (self.content, other.content) and self[2:] != other[2:]


class Used(NamedTuple):
    """Facts about a number that was used: its frame, or None if its FAULT is out; and since when."""

    frame: Fingerprint | None
    at_ns: int


class Sighting(Enum):
    """The meaning of a number, given the numbers before it."""

    NEW = auto()
    DUPLICATE = auto()
    CHANGED = auto()  # the same part again, with other bytes, recipe or calibration (rule 4)
    LATE = auto()  # its verdict is already out (rule 3)
    REUSED = auto()  # another part has had the number (rule 4)
    JUMP = auto()  # too far off to be believed yet (rule 5)


class Claim(NamedTuple):
    """A gap that one message claims and nothing confirms yet (rule 10)."""

    next_seq: int  # the number after the gap and the message
    at_ns: int
    until_ns: int  # believed then, if the stream stays silent


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
        self._recent: OrderedDict[int, Used] = OrderedDict()
        self._used = NumberSet()  # all numbers that were ever in `_recent`
        self._forgotten_ns = -UNKNOWN_NS  # numbers that are used and not recent were used before this
        self._jumped_to: int | None = None
        self._joins = False  # numbers before the next message may have been answered (rule 7)
        self._successors = 0  # numbers in a row after a jump
        self._claim: Claim | None = None
        self._announced: dict[int, int] = {}  # seq -> its deadline
        self.announces = False

    @classmethod
    def resumed(
        cls,
        answered: Sequence[int] | Mapping[int, int],
        *,
        max_gap: int,
        window_ns: int,
        complete: bool = True,
    ) -> "StreamSequence":
        """Return a stream of which an earlier boot has answered these numbers, sorted (rule 7).

        A mapping also says when each verdict was given (CLOCK_MONOTONIC, may be negative).
        """
        numbers = list(answered)
        times = answered if isinstance(answered, Mapping) else {}
        first, newest = numbers[0], numbers[-1]
        stream = cls(first_seq=newest + 1, confirmed=True, max_gap=max_gap, window_ns=window_ns)
        already_expired_ns = -window_ns  # nothing that was sent before the restart still comes
        stream._joins = not complete
        if complete:
            stream._miss(range(first, newest), already_expired_ns)
        stream._used.add_range(0, first)  # the ledger has older rows
        stream._forgotten_ns = times.get(first, UNKNOWN_NS)
        if not complete:
            stream._used.add_range(first, newest)
        for seq in numbers:
            stream._missing.pop(seq, None)
            stream._remember(seq, Used(None, times.get(seq, UNKNOWN_NS)))
        return stream

    def sight(
        self,
        seq: int,
        fingerprint: Fingerprint,
        now_ns: int,
        *,
        sealed: bool = False,
        fired_ns: int | None = None,
    ) -> Sighting:
        """Record a frame with number `seq`. `sealed`: its header has been verified; `fired_ns`: None if not known."""
        self._join(seq)
        before = self.seen_before(seq, fingerprint, fired_ns)
        if before is not None:
            return before
        believed = self._believes_jump(seq, now_ns)
        if believed is False:
            return Sighting.JUMP
        if self._is_known or (sealed and seq - self.next_seq <= NEAR):
            self._doubt_past(seq)
            self._confirm(now_ns)
            if believed:
                self._miss(range(self.next_seq, seq), now_ns)
                self.next_seq = seq + 1
            else:
                self._weigh(seq, seq + 1, now_ns)
        else:
            self._past = range(self.next_seq, seq)
            self.next_seq = max(self.next_seq, seq + 1)
        self._missing.pop(seq, None)
        self._announced.pop(seq, None)
        self.last_arrival_ns = now_ns
        self._remember(seq, Used(fingerprint, now_ns))
        self.next_seq = self._used.next_free(self.next_seq)
        return Sighting.NEW

    def seen_before(self, seq: int, fingerprint: Fingerprint, fired_ns: int | None = None) -> Sighting | None:
        """Return the meaning of a number that was used before, None for one that was not."""
        used = self._recent.get(seq)
        if used is None:
            if not self._is_used(seq):
                return None
            another = fired_ns is None or fired_ns > self._forgotten_ns
            return Sighting.REUSED if another else Sighting.LATE
        if used.frame is None:
            later = fired_ns is not None and fired_ns > used.at_ns
            return Sighting.REUSED if later else Sighting.LATE
        if not used.frame.same_part(fingerprint):
            return Sighting.REUSED
        return Sighting.CHANGED if used.frame.contradicts(fingerprint) else Sighting.DUPLICATE

    def trigger(self, seq: int, due_ns: int, now_ns: int, *, sure: bool) -> tuple[Sighting, list[int]]:
        """Record that triggers up to `seq` have fired. Returns what the number means, and the new numbers (rule 8).

        `sure`: no flipped bit can have invented this stream, so rules 1 and 10 need no second message.
        """
        self._join(seq)
        if seq in self._recent or seq in self._announced:
            known = self._recent.get(seq)
            return Sighting.LATE if known is not None and known.frame is None else Sighting.DUPLICATE, []
        if self._is_used(seq):
            return Sighting.LATE, []
        believed = self._believes_jump(seq, now_ns)
        if believed is False:
            return Sighting.JUMP, []
        self.announces = True
        if self._is_known or sure:
            self._doubt_past(seq)
            self._confirm(now_ns)
            self._settle_claim(seq)
            if not (believed or sure) and seq - self.next_seq > NEAR:
                self._weigh(seq, seq + 1, now_ns)
                self._announced[seq] = due_ns
                return Sighting.NEW, [seq]
            first = min(self.next_seq, seq)
        else:
            self._past, first = range(self.next_seq, seq), seq
        newest = max(first, seq - 1 - self._max_gap)
        self._miss(range(first, newest), now_ns)  # of a long jump (rule 5)
        below = range(newest, seq) if seq >= self.next_seq else range(0)
        numbers = [*(number for number in below if not self._is_open_or_used(number)), seq]
        self._missing.pop(seq, None)
        self._announced.update(dict.fromkeys(numbers, due_ns))
        self.next_seq = self._used.next_free(max(self.next_seq, seq + 1))
        return Sighting.NEW, numbers

    def announce(self, next_seq: int, now_ns: int) -> None:
        """Record the camera's statement that every number below `next_seq` has been sent."""
        self._join(next_seq)
        self._doubt_past(next_seq)
        self._confirm(now_ns)
        if self._claim is not None and next_seq + NEAR < self._claim.next_seq:
            self._claim = None  # the camera itself says that it has not come so far
        if self.next_seq < next_seq <= self.next_seq + self._max_gap:
            self._weigh(next_seq, next_seq, now_ns)

    def expire(self, now_ns: int, most: int | None = None) -> list[int]:
        """Return the numbers no longer waited for, in order, each once. Of skipped ones `most` at once."""
        if self._claim is not None and self._claim.until_ns <= now_ns:
            self._believe(self._claim)
        closed = (seq for seq, _ in takewhile(lambda item: item[1] <= now_ns, self._missing.items()))
        due = (seq for seq, until in self._announced.items() if until <= now_ns)
        lost = sorted([*islice(closed, most), *due])  # what is missing stands in the order of the windows
        for seq in lost:
            self.answer(seq, now_ns)
        return lost

    def answer(self, seq: int, now_ns: int) -> None:
        """Stop waiting for a number, because its FAULT is out."""
        self._missing.pop(seq, None)
        self._announced.pop(seq, None)
        self._remember(seq, Used(None, now_ns))

    def announced_due(self, before_ns: int) -> int | None:
        """Return the announced number that is due first, if it is due by a time; else None."""
        seq = min(self._announced, key=lambda number: (self._announced[number], number), default=None)
        return seq if seq is not None and self._announced[seq] <= before_ns else None

    def claim_next(self, now_ns: int) -> int:
        """Use up the number that would have come next, for an orphan (rule 6)."""
        seq = self.next_seq
        self._remember(seq, Used(None, now_ns))
        self.next_seq = self._used.next_free(seq)
        return seq

    def is_missing(self, seq: int) -> bool:
        """Tell whether a number is still waited for."""
        return seq in self._missing or seq in self._announced

    @property
    def has_missing(self) -> bool:
        """Tell whether any number is still waited for."""
        return bool(self._missing or self._announced or self._claim)

    @property
    def _is_known(self) -> bool:
        return bool(self._recent or self._announced or self._confirmed)

    def _is_used(self, seq: int) -> bool:
        return seq in self._used and not self.is_missing(seq)

    def _is_open_or_used(self, seq: int) -> bool:
        return seq in self._announced or seq in self._used

    def _believes_jump(self, seq: int, now_ns: int) -> bool | None:
        """Return None for a number that is no jump, else whether it is believed (rule 5)."""
        if abs(seq - self.next_seq) <= self._max_gap or self.is_missing(seq):
            self._jumped_to = None
            return None
        in_a_row = self._jumped_to is not None and seq == self._jumped_to + 1
        self._successors = self._successors + 1 if in_a_row else 0
        self._jumped_to = seq
        upwards = seq > self.next_seq
        if self._successors < (1 if upwards else 2):
            return False
        self._jumped_to = self._claim = None
        if upwards:
            # The frame before this one confirmed the jump; it has been answered as an orphan.
            self.skipped += max(seq - 1 - self.next_seq - MAX_JUMP, 0)
            self.next_seq = max(self.next_seq, seq - 1 - MAX_JUMP)
        else:
            self.next_seq = seq
            for answered in (seq - 2, seq - 1):  # as orphans
                self._remember(answered, Used(None, now_ns))
        return True

    def _weigh(self, seq: int, next_seq: int, now_ns: int) -> None:
        """Count on to `next_seq`, or note the claim of a message with number `seq` that skips some (rule 10)."""
        self._settle_claim(seq)
        gap = seq - self.next_seq
        if gap > 0:
            windows = 1 if gap <= SMALL_GAP else SILENT_WINDOWS
            self._claim = Claim(next_seq, now_ns, now_ns + windows * self._window_ns)
        elif gap == 0:
            self._claim = None  # the camera goes on where it was
            self.next_seq = next_seq

    def _settle_claim(self, seq: int) -> None:
        """Believe a claim that a message with number `seq` confirms."""
        if self._claim is not None and 0 <= seq - self._claim.next_seq <= NEAR:
            self._believe(self._claim)

    def _believe(self, claim: Claim) -> None:
        self._claim = None
        self._miss(range(self.next_seq, claim.next_seq), claim.at_ns)
        self.next_seq = self._used.next_free(max(self.next_seq, claim.next_seq))

    def _join(self, seq: int) -> None:
        """Take the numbers below the first message after an incomplete ledger for answered."""
        if self._joins and self.next_seq <= seq <= self.next_seq + self._max_gap:
            self._used.add_range(self.next_seq, seq)
            self.next_seq = seq
            self._joins = False

    def _doubt_past(self, seq: int) -> None:
        """Take back the numbers before the first frame from `seq` on, if the camera's own counting starts there."""
        if seq in self._past and self._past.stop - seq > NEAR:
            self.next_seq, self._past = seq, range(self._past.start, seq)

    def _confirm(self, now_ns: int) -> None:
        self._confirmed = True
        self._miss(self._past, now_ns)
        self._past = range(0)

    def _miss(self, numbers: range, now_ns: int) -> None:
        for seq in numbers:
            if not self._is_open_or_used(seq):
                self._missing[seq] = now_ns + self._window_ns

    def _remember(self, seq: int, used: Used) -> None:
        self._recent[seq] = used
        self._used.add(seq)
        while len(self._recent) > 2 * self._max_gap + 64:
            _, forgotten = self._recent.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, forgotten.at_ns)
