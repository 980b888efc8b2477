"""Sequence numbers: finds the triggers whose frame never arrived, over all streams of a station.

The rules (WIRE.md, sequence), stated first:

1. A stream starts at seq 0 and counts up by one a trigger. A new camera boot is a new stream. Numbers before the
   first frame that we saw are missing, but only if that frame was sealed (and they are few, rule 10) or a second
   message of the stream confirms it: one flipped bit in a stream id must not invent a stream with a past.
2. A number that is skipped is *missing*. If its frame comes within the reorder window it was only late;
   otherwise the trigger is lost and owes a FAULT.
3. A frame seen twice is a duplicate; a frame whose FAULT is out is late. Neither is a new trigger. A stream remembers
   what its newest 2 `max_gap` numbers were used for, and of all older ones that they were used. A number that was used
   in this boot or that the ledger has is never answered again.
4. A number used again for another part is *reused*: a damaged frame, a camera that kept its stream id over a reboot, a
   counter that wraps. It owes a FAULT of its own under the stream `unattributed`, with the part that it names. A
   trigger later than the verdict of its number is another part. The same part again with other bytes, recipe or
   calibration is *changed*: it contradicts the frame before, whose part is a FAULT if it is still open.
5. A jump of more than `max_gap` is believed only when the very next number confirms it, a jump down only when the two
   next do: one flipped bit in a number must not write off a shift. Then all that was passed over upwards is lost, up to
   MAX_JUMP numbers. Two damaged numbers confirm nothing.
6. A message whose number cannot be read is an *orphan*. It stands for the next number found missing on its
   source; if the stream goes on without a gap it was one message too many and gets a FAULT under the stream
   `unattributed`; if the stream falls silent it stands for the number that would have come next. An orphan that names a
   number (rule 5) stands for that one if it is found missing.
7. `resume` names the newest numbers that an earlier boot of the worker has answered, up to `max_gap` a stream. Those,
   and all below them, are answered; numbers left out between them are missing. `past` names further streams, of each
   the numbers that may have had a verdict: they get none, and the stream goes on behind them. Streams of this boot that
   were forgotten (rule 9) are kept in the same way.
8. A number may be announced before its frame (WIRE.md, trigger), together with the unknown numbers below it. It is
   waited for until its deadline, whatever comes meanwhile. An orphan stands for the announced number that is due first.
   On a stream with announced triggers it never stands for a number that was not announced.
9. At most MAX_STREAMS streams are tracked. A stream is never forgotten while it is the newest of its source or still
   owes a FAULT. Of a forgotten one it is known which numbers were used.
10. A gap of up to `max_gap` numbers that one message shows is a *claim*: the frame is new, but the numbers below it are
    missing only when a message from there on confirms it (up to NEAR beyond), or when the stream was silent for
    SILENT_WINDOWS reorder windows. A gap of up to SMALL_GAP is believed after one reorder window if a sealed frame
    shows it, else after twice the time between the stream's messages. If the camera goes on where it was, the claim is
    forgotten. Heartbeats claim in the same way until a later one says less, and so do trigger messages that skip more
    than NEAR numbers. The line's own count is believed.
11. A stream belongs to the source of its first frame. A frame of it from another source is reused (rule 4), unless it
    is the very same frame: two cameras with one stream id.

No I/O and no clock: every call is given the time. One thread owns the tracker.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.limits import MAX_COUNT
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.past_streams import PastStreams
from cmfm_worker.line.intake.stream import StreamSequence
from cmfm_worker.line.intake.used_numbers import Fingerprint, PastNumbers, Sighting
from cmfm_worker.line.messages import Trigger, TriggerKey

MAX_STREAMS: Final = 64
"""Streams tracked at once: every boot of a camera that reboots each minute for an hour."""

LOST_AT_ONCE: Final = 32
"""Lost numbers of a stream given out by one `expire`, so that verdicts of present parts do not queue behind them."""

MAX_ORPHANS: Final = 4096
"""Orphans of one source that wait for a number. Beyond it the oldest is settled at once."""

DAMAGED_EARLY_NS: Final = 25_000_000
"""How long before its deadline an announced number takes an orphan: two ticks of the intake, so that the verdict book,
which closes it at the deadline, does not come first."""


WIDTHS: Final = (8, 16, 32)
"""Widths in bits of counters that are recognised when they wrap."""

WRAP_MARGIN: Final = 16
"""Numbers on either side of a wrap that may be lost without hiding it."""

Answered = Sequence[int] | Mapping[int, int]
"""Numbers that have had their verdict, sorted; a mapping also says when (CLOCK_MONOTONIC)."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A message that arrived but cannot be assigned to a number."""

    reason: Reason
    detail: str
    received_ns: int  # CLOCK_REALTIME
    at_ns: int  # CLOCK_MONOTONIC
    source: str = ""  # endpoint of its camera
    trigger: Trigger | None = None  # what could be read, without the frame; its key is what it names


class Missing(NamedTuple):
    """A trigger that owes a FAULT; `orphan` is the damaged message that stands for it, if there was one."""

    key: TriggerKey
    orphan: Orphan | None


class SequenceTracker:
    """Tracks all streams of all sources. A source is a camera's endpoint, or the line's own count of triggers.

    `resume` and `past`: what earlier boots have answered (rule 7).
    """

    def __init__(
        self,
        *,
        max_gap: int,
        window_ns: int,
        resume: Mapping[str, Answered] | None = None,
        past: Mapping[str, PastNumbers] | None = None,
    ) -> None:
        self._max_gap = max_gap
        self._window_ns = window_ns
        self._streams: OrderedDict[str, StreamSequence] = OrderedDict(
            (uuid, StreamSequence.resumed(answered, max_gap=max_gap, window_ns=window_ns))
            for uuid, answered in (resume or {}).items()
        )
        self._past = PastStreams(past)
        self._newest: dict[str, str] = {}  # source -> stream_uuid
        self._owners: dict[str, str] = {}  # stream_uuid -> source of its first frame
        self._orphans: dict[str, deque[Orphan]] = {}
        self._unattributed = 0

    def frame(
        self,
        source: str,
        key: TriggerKey,
        fingerprint: Fingerprint,
        now_ns: int,
        *,
        sealed: bool = False,
        fired_ns: int | None = None,
    ) -> Sighting:
        """Record a frame whose number could be read. `fired_ns`: its trigger (CLOCK_MONOTONIC), None if not known."""
        if self._owners.setdefault(key.stream_uuid, source) != source:
            same = self._streams[key.stream_uuid].seen_before(key.seq, fingerprint)
            return Sighting.DUPLICATE if same is Sighting.DUPLICATE else Sighting.REUSED
        stream = self._stream(source, key.stream_uuid, key.seq)
        return stream.sight(key.seq, fingerprint, now_ns, sealed=sealed, fired_ns=fired_ns)

    def owner(self, stream_uuid: str) -> str:
        """Return the source that a stream belongs to, empty before its first frame (rule 11)."""
        return self._owners.get(stream_uuid, "")

    def wrapped_bits(self, key: TriggerKey) -> int | None:
        """Return the width of the camera's counter if it wrapped at this low number, else None."""
        stream = self._streams.get(key.stream_uuid)
        if stream is None or key.seq > WRAP_MARGIN:
            return None
        return next((bits for bits in WIDTHS if 0 <= (1 << bits) - stream.next_seq <= WRAP_MARGIN), None)

    def announce(self, source: str, stream_uuid: str, next_seq: int, now_ns: int) -> None:
        """Record a camera's heartbeat (WIRE.md, camera state)."""
        if self._owners.get(stream_uuid, source) == source:
            self._stream(source, stream_uuid, next_seq).announce(next_seq, now_ns)

    def trigger(
        self, source: str, key: TriggerKey, due_ns: int, now_ns: int, *, sure: bool
    ) -> tuple[Sighting, list[int]]:
        """Record an announced trigger. Returns what its number means, and the numbers to be opened."""
        stream = self._stream(source, key.stream_uuid, key.seq)
        return stream.trigger(key.seq, due_ns, now_ns, sure=sure)

    def orphan(self, source: str, orphan: Orphan) -> None:
        """Record a message whose number cannot be read or trusted."""
        self._orphans.setdefault(source, deque()).append(orphan)

    def expire(self, now_ns: int, most: int | None = LOST_AT_ONCE) -> list[Missing]:
        """Return the triggers that owe a FAULT by now, each once. Of numbers skipped in a stream `most` at once."""
        missing = list(self._damaged(now_ns))
        for uuid, stream in self._streams.items():
            lost = stream.expire(now_ns, most)
            missing += [Missing(TriggerKey(uuid, seq), self._take_orphan(uuid, seq, lost)) for seq in lost]
        return missing + list(self._settle_orphans(now_ns))

    def flush(self, most: int | None = None) -> list[Missing]:
        """Return what is still waited for, at the end of a drain; of skipped numbers at most so many a stream."""
        far_future = 1 << 62
        return self.expire(far_future, most)

    def take_skipped(self) -> int:
        """Return how many numbers confirmed jumps have passed over without a FAULT since the last call."""
        skipped = sum(stream.skipped for stream in self._streams.values())
        for stream in self._streams.values():
            stream.skipped = 0
        return skipped

    def unattributed_key(self) -> TriggerKey:
        """Return a key for a damaged message that stands for no number of any stream (rules 4 and 6)."""
        self._unattributed += 1
        return TriggerKey(UNATTRIBUTED_STREAM, self._unattributed - 1)

    def _stream(self, source: str, stream_uuid: str, seq: int) -> StreamSequence:
        self._newest[source] = stream_uuid
        stream = self._streams.get(stream_uuid)
        if stream is None:
            stream = self._streams[stream_uuid] = self._new_stream(stream_uuid, seq)
            self._forget_oldest()
        else:
            self._streams.move_to_end(stream_uuid)  # the one that has been silent longest is forgotten first
        return stream

    def _new_stream(self, stream_uuid: str, seq: int) -> StreamSequence:
        past = self._past.take(stream_uuid)
        if past is not None:
            return StreamSequence.known(past, max_gap=self._max_gap, window_ns=self._window_ns)
        # Rule 1. A stream that was running long before we came starts for us at the number where we joined.
        first = 0 if seq <= self._max_gap else seq
        return StreamSequence(
            first_seq=first, confirmed=False, max_gap=self._max_gap, window_ns=self._window_ns
        )

    def _forget_oldest(self) -> None:
        for uuid in list(self._streams):
            if len(self._streams) <= MAX_STREAMS:
                return
            if uuid not in self._newest.values() and not self._streams[uuid].has_missing:
                self._past.put(uuid, self._streams.pop(uuid).past)
                self._owners.pop(uuid, None)

    def _take_orphan(self, stream_uuid: str, seq: int, lost: Sequence[int] = ()) -> Orphan | None:
        for source, queue in self._orphans.items():
            if not queue or self._newest.get(source) != stream_uuid:
                continue
            for orphan in queue:
                if self._stands_for(orphan, stream_uuid, seq, lost):
                    queue.remove(orphan)
                    return orphan
        return None

    def _stands_for(self, orphan: Orphan, stream_uuid: str, seq: int, lost: Sequence[int]) -> bool:
        """Tell whether an orphan stands for this number: it names it, or no number that is waited for (rule 6).

        `lost`: the numbers that get their FAULT together with this one.
        """
        named = orphan.trigger.key if orphan.trigger is not None else None
        if named is None or named.stream_uuid != stream_uuid or named.seq == seq:
            return True
        return named.seq not in lost and not self._streams[stream_uuid].is_missing(named.seq)

    def _damaged(self, now_ns: int) -> Iterator[Missing]:
        """Yield announced numbers that are nearly due and whose frames came damaged (rule 8)."""
        for uuid, stream in self._streams.items():
            while (seq := stream.announced_due(now_ns + DAMAGED_EARLY_NS)) is not None:
                orphan = self._take_orphan(uuid, seq)
                if orphan is None:
                    break
                stream.answer(seq, now_ns)
                yield Missing(TriggerKey(uuid, seq), orphan)

    def _settle_orphans(self, now_ns: int) -> Iterator[Missing]:
        # Twice the window: a gap that the orphan explains may be noticed as late as the orphan's own window
        # and then waits for its own.
        for source, queue in self._orphans.items():
            stream = self._streams.get(self._newest.get(source, ""))
            while queue and (queue[0].at_ns + 2 * self._window_ns <= now_ns or len(queue) > MAX_ORPHANS):
                if stream is not None and stream.has_missing and len(queue) <= MAX_ORPHANS:
                    break
                orphan = queue.popleft()
                yield Missing(self._key_for(stream, orphan, now_ns), orphan)

    def _key_for(self, stream: StreamSequence | None, orphan: Orphan, now_ns: int) -> TriggerKey:
        silent = stream is not None and stream.last_arrival_ns <= orphan.at_ns
        if stream is not None and silent and not stream.announces and stream.next_seq <= MAX_COUNT:
            for uuid, known in self._streams.items():
                if known is stream:
                    return TriggerKey(uuid, stream.claim_next(now_ns))
        return self.unattributed_key()
