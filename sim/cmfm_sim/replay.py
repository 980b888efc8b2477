"""A replay: sends a data set's parts through a camera at a line's rate, open loop, with faults.

The faults are a layer over `cmfm_client.Camera`: the replay counts and encodes its messages itself, lets a `Disturber`
change them, and hands them to the camera.
"""

import heapq
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from cmfm_client.camera import Camera
from cmfm_protocol.clock import NS_PER_S, Clock
from cmfm_protocol.wire.frame import FrameHeader, encode_frame
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_sim.conveyor import Conveyor, Trigger
from cmfm_sim.damage import Message
from cmfm_sim.disturb import Departure, Disturber
from cmfm_sim.faults import FaultKind
from cmfm_sim.feed import Feed, ReadPart
from cmfm_sim.spread import Spread
from cmfm_sim.trigger_log import TriggerLog, TriggerRecord

LEAD_S = 0.25
"""Time from the subscriber's arrival to the first trigger, enough for a heartbeat."""

DISK_POLL_S = 0.005
"""Interval at which a sender without a part looks for the next one."""

HANG_S = 0.05
"""Interval at which a stalled sender looks whether it is to stop."""

OnTrigger = Callable[[TriggerRecord, int], None]
"""Called for each trigger when its frame has left, with the number of frames dropped by the camera so far."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Counts of what was sent. `lateness_ms`: from a scheduled trigger to the hand-over of its frame to the socket.

    `announced`: trigger messages that were sent ahead of their frames.
    """

    stream_uuid: str
    triggers: int
    announced: int
    sent: int
    pub_drops: int
    faults: Mapping[FaultKind, int]
    lateness_ms: Spread | None
    seconds: float
    stopped: bool


@dataclass(slots=True)
class _Sums:
    triggers: int = 0
    announced: int = 0
    sent: int = 0
    faults: Counter[FaultKind] = field(default_factory=Counter)
    lateness_ms: list[float] = field(default_factory=list)


class Replay:
    """Sends a feed's parts, in the thread that made the camera.

    With `announce` each trigger is announced to the worker when it fires, before its frame and also without it.
    """

    def __init__(
        self,
        *,
        camera: Camera,
        conveyor: Conveyor,
        feed: Feed,
        disturber: Disturber,
        log: TriggerLog,
        deadline_ms: float,
        clock: Clock,
        announce: bool = False,
        stopped: Callable[[], bool] = lambda: False,
        on_trigger: OnTrigger = lambda _record, _drops: None,
        hang: Callable[[float], None] = time.sleep,
        max_lag_s: float = math.inf,
    ) -> None:
        self._camera = camera
        self._conveyor = conveyor
        self._feed = feed
        self._disturber = disturber
        self._log = log
        self._deadline_ms = deadline_ms
        self._clock = clock
        self._announce = announce
        self._stopped = stopped
        self._on_trigger = on_trigger
        self._hang = hang
        self._max_lag_s = max_lag_s
        self._delayed: list[tuple[int, int, Departure]] = []  # heap: due time, order, what
        self._order = count()
        self._sums = _Sums()

    def run(self) -> ReplayReport:
        """Send everything, or until stopped. Raises DatasetError if a part cannot be read when it is its turn."""
        started_ns = self._clock.monotonic_ns()
        self._conveyor.start(LEAD_S)
        while (part := self._next_part()) is not None:
            self._conveyor.slip(part.trigger.seq, self._max_lag_s)
            record = self._record(part.trigger)
            message = self._encode(part, record)  # before the trigger: at the trigger it is only sent
            if not self._wait(self._conveyor.due_ns(record.seq)):
                break
            self._fire(record, message)
        self._finish()
        return self._report(started_ns)

    def _next_part(self) -> ReadPart | None:
        while not self._stopped():
            part = self._feed.take()
            if part is not None:
                return part
            if self._feed.finished:
                return None
            self._camera.rest(DISK_POLL_S)
        return None

    def _record(self, trigger: Trigger) -> TriggerRecord:
        return TriggerRecord(
            stream_uuid=self._camera.stream_uuid,
            seq=trigger.seq,
            part_id=trigger.part_id,
            trigger_ns=self._conveyor.trigger_ns(trigger.seq),
            deadline_ms=self._deadline_ms,
            recipe=trigger.recipe,
            label=trigger.files.label,
            defect=trigger.files.defect,
            faults=self._disturber.faults_of(trigger.seq),
        )

    def _encode(self, part: ReadPart, record: TriggerRecord) -> Message:
        header = FrameHeader(
            stream_uuid=record.stream_uuid,
            seq=record.seq,
            part_id=record.part_id,
            trigger_ns=record.trigger_ns + self._disturber.clock_error_ns(record.seq),
            deadline_ms=record.deadline_ms,
            recipe=record.recipe,
            encoder=part.trigger.encoder,
            simulated=True,
            pub_drops=self._camera.pub_drops,
        )
        return encode_frame(self._camera.frame_topic, header, part.rgb, part.xyz)

    def _wait(self, due_ns: int) -> bool:
        """Wait until `due_ns`, sending delayed messages that are due before. False if stopped."""
        while self._delayed and self._delayed[0][0] <= due_ns:
            if not self._conveyor.wait_until(self._delayed[0][0], self._stopped):
                return False
            self._send((heapq.heappop(self._delayed)[2],))
        return self._conveyor.wait_until(due_ns, self._stopped)

    def _fire(self, record: TriggerRecord, message: Message) -> None:
        """Fire a trigger: write it to the log, then send its departures."""
        turn = self._disturber.turn(record.seq, message)
        self._log.trigger(record)
        self._sums.triggers += 1
        self._sums.faults.update(record.faults)
        if self._announce:
            self._sums.announced += self._camera.announce(_trigger_message(record))
        self._stall(turn.stall_s)
        if FaultKind.REORDER not in record.faults:  # a frame that is held back does not count as sent
            self._camera.advance(record.seq + 1)
        now = [departure for departure in turn.departures if not departure.delay_s]
        self._send(now)
        if now:
            self._sums.lateness_ms.append(self._conveyor.lateness_ms(record.seq))
        for departure in turn.departures:
            if departure.delay_s:
                due_ns = self._conveyor.due_ns(record.seq) + int(departure.delay_s * NS_PER_S)
                heapq.heappush(self._delayed, (due_ns, next(self._order), departure))
        self._on_trigger(record, self._camera.pub_drops)

    def _send(self, departures: Sequence[Departure]) -> None:
        sent: dict[int, bool] = {}
        for departure in departures:
            left = self._camera.send(departure.seq, departure.message)
            sent[departure.seq] = left or sent.get(departure.seq, False)
        for seq, left in sent.items():
            self._sums.sent += left
            if not left:
                self._log.not_sent(self._camera.stream_uuid, seq)

    def _stall(self, seconds: float) -> None:
        until_ns = self._clock.monotonic_ns() + int(seconds * NS_PER_S)
        while not self._stopped() and (left_ns := until_ns - self._clock.monotonic_ns()) > 0:
            self._hang(min(left_ns / NS_PER_S, HANG_S))

    def _finish(self) -> None:
        """Send what is held back or delayed. A delayed frame is not sent before its time, also not at a stop."""
        self._send(self._disturber.flush())
        while self._delayed and self._wait(self._delayed[0][0]):
            pass

    def _report(self, started_ns: int) -> ReplayReport:
        sums = self._sums
        return ReplayReport(
            stream_uuid=self._camera.stream_uuid,
            triggers=sums.triggers,
            announced=sums.announced,
            sent=sums.sent,
            pub_drops=self._camera.pub_drops,
            faults=dict(sums.faults),
            lateness_ms=Spread.of(sums.lateness_ms),
            seconds=(self._clock.monotonic_ns() - started_ns) / NS_PER_S,
            stopped=self._stopped(),
        )


def _trigger_message(record: TriggerRecord) -> TriggerMessage:
    return TriggerMessage(
        stream_uuid=record.stream_uuid,
        seq=record.seq,
        part_id=record.part_id,
        trigger_ns=record.trigger_ns,
        deadline_ms=record.deadline_ms,
        recipe=record.recipe,
        simulated=True,
    )
