"""The photo-eye's trigger messages as requests for frames: which part is to be imaged, and how late it is.

A trigger message (WIRE.md, trigger) of this camera's stream asks for one frame. Its time is that of the exposure, which
may be to come. A part that is imaged too late is not where the photo-eye saw it, or is the next one. So each request
has an age, and the device refuses those that are too old.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from cmfm_protocol.clock import NS_PER_S, Clock, SystemClock
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger

POLL_S: Final = 0.02
"""How often the socket is looked at while nothing comes: the uncertainty of an age by our own clock."""

AHEAD_S: Final = 1.0
BEHIND_S: Final = 10.0
"""A time that is farther ahead of this host's clock, or behind it, is not believed: the clocks differ."""


class Messages(Protocol):
    """Trigger messages as they came (`cmfm_cameras.subscriber.WatchedSubscriber`)."""

    def wait(self, timeout_s: float) -> None:
        """Wait until a message is there or the time is over."""
        ...

    def messages(self) -> Iterable[list[bytes]]:
        """Yield the messages that are there; does not wait."""
        ...


@dataclass(frozen=True, slots=True)
class Shot:
    """A request for a frame. `age_s`: seconds since the time of the exposure, negative for one to come."""

    trigger: TriggerMessage
    age_s: float


class Shots:
    """Requests of one stream, in order. Use it from one thread.

    `counts` since they were last taken: `shot_other_stream` (another camera's, or of this camera before its restart),
    `shot_damaged` (no trigger message), `shot_clock_wrong` (its time was not believed).
    """

    def __init__(self, messages: Messages, stream_uuid: str, clock: Clock | None = None) -> None:
        self._messages = messages
        self._stream_uuid = stream_uuid
        self._clock = clock or SystemClock()
        self._waiting: deque[tuple[TriggerMessage, float]] = deque()  # with the earliest time of its arrival
        self._empty_s = time.monotonic()
        self._counts: Counter[str] = Counter()

    def next(self, timeout_s: float) -> Shot | None:
        """Return the next request, or None if none came in time."""
        until_s = time.monotonic() + timeout_s
        self._read()
        while not self._waiting and (left_s := until_s - time.monotonic()) > 0:
            self._messages.wait(min(left_s, POLL_S))
            self._read()
        if not self._waiting:
            return None
        trigger, since_s = self._waiting.popleft()
        return Shot(trigger, self._age_s(trigger, since_s))

    def take_counts(self) -> Counter[str]:
        """Return the counts, and begin anew."""
        counts, self._counts = self._counts, Counter()
        return counts

    def _read(self) -> None:
        for message in self._messages.messages():
            try:
                trigger = decode_trigger(message)
            except RemoteProtocolError:
                self._counts["shot_damaged"] += 1
                continue
            if trigger.stream_uuid == self._stream_uuid:
                self._waiting.append((trigger, self._empty_s))
            else:
                self._counts["shot_other_stream"] += 1
        self._empty_s = time.monotonic()

    def _age_s(self, trigger: TriggerMessage, since_s: float) -> float:
        """By the trigger's own time; if that is not believed, as long as it can have waited here."""
        age_s = (self._clock.realtime_ns() - trigger.trigger_ns) / NS_PER_S
        if trigger.clock == "realtime" and -AHEAD_S <= age_s <= BEHIND_S:
            return age_s
        if trigger.clock == "realtime":
            self._counts["shot_clock_wrong"] += 1
        return time.monotonic() - since_s
