"""The numbers of one stream of frames: new, missing, announced. `sequence` states the rules. No I/O and no clock."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from cmfm_worker.line.intake.used_numbers import (
    UNKNOWN_NS,
    Fingerprint,
    PastNumbers,
    Sighting,
    Used,
    UsedNumbers,
)
from cmfm_worker.line.intake.waited_numbers import WaitedNumbers

MAX_JUMP: Final = 100_000
"""Numbers of a believed jump that get a FAULT each: hours of a line without a worker. Further ones are only counted."""

SMALL_GAP: Final = 2
"""Skipped numbers that one message is believed if the stream is silent for the reorder window. On a slow line, where
that says nothing, a message without a seal has to wait for twice the time between two messages."""

SILENT_WINDOWS: Final = 50
"""Reorder windows of silence after which any gap is believed: 10 s by default."""

NEAR: Final = 8
"""How far beyond a claim the message that confirms it may lie; numbers that one trigger message opens below its own."""


class Claim(NamedTuple):
    """A gap that one message claims and nothing confirms yet (rule 10)."""

    next_seq: int  # the number after the gap and the message
    at_ns: int
    until_ns: int  # believed then, if the stream stays silent
    beat: bool  # made by a heartbeat


class StreamSequence:
    """Tracks the numbers of one stream."""

    def __init__(
        self,
        *,
        first_seq: int,
        confirmed: bool,
        max_gap: int,
        window_ns: int,
        past: PastNumbers | None = None,
    ) -> None:
        self.next_seq = first_seq
        self._confirmed = confirmed
        self._past: range = range(0)  # numbers before the first frame, until the stream is confirmed
        self.last_arrival_ns = 0
        self.skipped = 0  # numbers passed over by a confirmed jump, beyond those that get a FAULT each
        self._max_gap = max_gap
        self._window_ns = window_ns
        self._used = UsedNumbers(2 * max_gap + 64, past)
        self._waited = WaitedNumbers(self._used)
        self._jumped_to: int | None = None
        self._successors = 0  # numbers in a row after a jump
        self._claim: Claim | None = None
        self._message_ns: int | None = None  # of the last message of any kind
        self._interval_ns = 0  # between messages; a long one is forgotten slowly
        self.announces = False

    @classmethod
    def resumed(
        cls, answered: Sequence[int] | Mapping[int, int], *, max_gap: int, window_ns: int
    ) -> "StreamSequence":
        """Return a stream of which an earlier boot has answered these numbers, sorted (rule 7).

        A mapping also says when each verdict was given (CLOCK_MONOTONIC, may be negative).
        """
        numbers = list(answered)
        times = answered if isinstance(answered, Mapping) else {}
        first, newest = numbers[0], numbers[-1]
        past = PastNumbers.up_to(first - 1, times.get(first, UNKNOWN_NS))  # the ledger has older rows
        stream = cls(first_seq=newest + 1, confirmed=True, max_gap=max_gap, window_ns=window_ns, past=past)
        already_expired_ns = -window_ns  # nothing that was sent before the restart still comes
        stream._miss(range(first, newest), already_expired_ns)
        for seq in numbers:
            stream._waited.discard(seq)
            stream._used.add(seq, Used(None, times.get(seq, UNKNOWN_NS)))
        return stream

    @classmethod
    def known(cls, past: PastNumbers, *, max_gap: int, window_ns: int) -> "StreamSequence":
        """Return a stream that comes again: it goes on after its used numbers, and owes nothing below (rule 7)."""
        return cls(
            first_seq=past.numbers.stop, confirmed=True, max_gap=max_gap, window_ns=window_ns, past=past
        )

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
        self._pace(now_ns)
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
                # The frame of `seq - 1` has come, so its FAULT waits neither for it nor behind those passed over.
                self._miss(range(seq - 1, seq), now_ns - self._window_ns)
                self._miss(range(self.next_seq, seq - 1), now_ns)
                self.next_seq = seq + 1
            else:
                self._weigh(seq, seq + 1, now_ns, sealed=sealed)
        else:
            self._past = range(self.next_seq, seq)
            self.next_seq = max(self.next_seq, seq + 1)
        self._waited.discard(seq)
        self.last_arrival_ns = now_ns
        self._used.add(seq, Used(fingerprint, now_ns))
        self.next_seq = self._used.next_free(self.next_seq)
        return Sighting.NEW

    def seen_before(self, seq: int, fingerprint: Fingerprint, fired_ns: int | None = None) -> Sighting | None:
        """Return the meaning of a number that was used before, None for one that was not."""
        return None if self.is_missing(seq) else self._used.seen_before(seq, fingerprint, fired_ns)

    @property
    def past(self) -> PastNumbers:
        """Return the facts that stay known of the stream when it is not tracked any more."""
        return self._used.past

    def trigger(self, seq: int, due_ns: int, now_ns: int, *, sure: bool) -> tuple[Sighting, list[int]]:
        """Record that triggers up to `seq` have fired. Returns what the number means, and the new numbers (rule 8).

        `sure`: no flipped bit can have invented this stream, so rules 1 and 10 need no second message.
        """
        self._pace(now_ns)
        known = self._used.recent(seq)
        if known is not None or self._waited.is_announced(seq):
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
                self._waited.announce([seq], due_ns)
                return Sighting.NEW, [seq]
            first = min(self.next_seq, seq)
        else:
            self._past, first = range(self.next_seq, seq), seq
        newest = max(first, seq - 1 - self._max_gap)
        self._miss(range(first, newest), now_ns)  # of a long jump (rule 5)
        below = range(newest, seq) if seq >= self.next_seq else range(0)
        numbers = [*(number for number in below if not self._is_open_or_used(number)), seq]
        self._waited.announce(numbers, due_ns)
        self.next_seq = self._used.next_free(max(self.next_seq, seq + 1))
        return Sighting.NEW, numbers

    def announce(self, next_seq: int, now_ns: int) -> None:
        """Record the camera's statement that every number below `next_seq` has been sent."""
        self._pace(now_ns)
        self._doubt_past(next_seq)
        self._confirm(now_ns)
        tolerance = 0 if self._claim is not None and self._claim.beat else NEAR
        if self._claim is not None and next_seq + tolerance < self._claim.next_seq:
            self._claim = None  # the camera itself says that it has not come so far
        if self.next_seq < next_seq <= self.next_seq + self._max_gap:
            self._weigh(next_seq, next_seq, now_ns, beat=True)

    def expire(self, now_ns: int, most: int | None = None) -> list[int]:
        """Return the numbers no longer waited for, in order, each once. Of skipped ones `most` at once."""
        if self._claim is not None and self._claim.until_ns <= now_ns:
            self._believe(self._claim)
        lost = self._waited.lost(now_ns, most)
        for seq in lost:
            self.answer(seq, now_ns)
        return lost

    def answer(self, seq: int, now_ns: int) -> None:
        """Stop waiting for a number, because its FAULT is out."""
        self._waited.discard(seq)
        self._used.add(seq, Used(None, now_ns))

    def announced_due(self, before_ns: int) -> int | None:
        """Return the announced number that is due first, if it is due by a time; else None."""
        return self._waited.first_announced(before_ns)

    def claim_next(self, now_ns: int) -> int:
        """Use up the number that would have come next, for an orphan (rule 6)."""
        seq = self.next_seq
        self._used.add(seq, Used(None, now_ns))
        self.next_seq = self._used.next_free(seq)
        return seq

    def is_missing(self, seq: int) -> bool:
        """Tell whether a number is still waited for."""
        return seq in self._waited

    @property
    def has_missing(self) -> bool:
        """Tell whether any number is still waited for."""
        return bool(self._waited or self._claim)

    @property
    def _is_known(self) -> bool:
        return bool(self._used or self._waited.any_announced or self._confirmed)

    def _is_used(self, seq: int) -> bool:
        return seq in self._used and not self.is_missing(seq)

    def _is_open_or_used(self, seq: int) -> bool:
        return self._waited.is_announced(seq) or seq in self._used

    def _pace(self, now_ns: int) -> None:
        """Measure the time between messages."""
        if self._message_ns is not None:
            self._interval_ns = max(self._interval_ns * 3 // 4, now_ns - self._message_ns)
        self._message_ns = now_ns

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
                self._used.add(answered, Used(None, now_ns))
        return True

    def _weigh(
        self, seq: int, next_seq: int, now_ns: int, *, sealed: bool = False, beat: bool = False
    ) -> None:
        """Count on to `next_seq`, or note the claim of a message with number `seq` that skips some (rule 10)."""
        self._settle_claim(seq)
        gap = seq - self.next_seq
        if gap > 0:
            longest_ns = SILENT_WINDOWS * self._window_ns
            wait_ns = self._window_ns if sealed else max(self._window_ns, 2 * self._interval_ns)
            until_ns = now_ns + (min(wait_ns, longest_ns) if gap <= SMALL_GAP else longest_ns)
            self._claim = Claim(next_seq, now_ns, until_ns, beat)
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

    def _doubt_past(self, seq: int) -> None:
        """Take back the numbers before the first frame from `seq` on, if the camera's own counting starts there."""
        if seq in self._past and self._past.stop - seq > NEAR:
            self.next_seq, self._past = seq, range(self._past.start, seq)

    def _confirm(self, now_ns: int) -> None:
        self._confirmed = True
        self._miss(self._past, now_ns)
        self._past = range(0)

    def _miss(self, numbers: range, now_ns: int) -> None:
        self._waited.skip(numbers, now_ns + self._window_ns)
