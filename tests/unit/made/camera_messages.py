"""A camera's messages with the times of their arrival, made by hand: a good session, and changes to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.frame import FrameHeader, encode_frame, seal
from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger
from cmfm_sim.conform.checker import Conformance
from cmfm_sim.conform.heard import Arrival
from cmfm_sim.conform.report_lines import Level, ReportLine

START_NS = 1_790_000_000_000_123_456
BOOT_NS = 3_600_000_654_321
UUID = "0b5f1c0e9a664f6cb8b8d4f5b4c9e0aa"
PERIOD_MS, TRIGGER_MS, FRAME_MS = 100, 5, 15
Message = list[bytes]
Change = Callable[[dict[str, Any], int], None]
"""Changes a map in place; the second argument is the number of the part."""


def at(ms: float) -> Arrival:
    """The clocks of the host, `ms` after the session began."""
    return Arrival(START_NS + int(ms * 1e6), BOOT_NS + int(ms * 1e6))


def pictures(number: int, height: int = 32, width: int = 40) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A smooth picture and a plate half a metre away, with a row that was not measured; each number its own."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    rgb = np.stack([y, x, y + x], axis=-1).astype(np.uint8)
    rgb[0, 0] = number
    xyz = np.stack([x * 0.0005, y * 0.0005, 0.5 + 0 * x], axis=-1).astype(np.float32)
    xyz[0] = np.nan
    xyz[5, 5, 2] += number * 1e-4
    return rgb, xyz


def header(number: int, **changes: Any) -> FrameHeader:
    """The header of a part's frame."""
    trigger_ns = at(number * PERIOD_MS).realtime_ns
    fields: dict[str, Any] = {
        "stream_uuid": UUID,
        "seq": number,
        "part_id": f"part-{number}",
        "trigger_ns": trigger_ns,
        "deadline_ms": 500.0,
        "recipe": "bagel",
        "calib_id": "c1",
    }
    return FrameHeader(**{**fields, **changes})


def frame(number: int, rgb: Any = None, xyz: Any = None, **changes: Any) -> Message:
    """A part's frame message, sealed."""
    made = pictures(number)
    rgb, xyz = (given if given is not None else own for given, own in zip((rgb, xyz), made, strict=True))
    return [bytes(part) for part in encode_frame(TOPICS["frame"], header(number, **changes), rgb, xyz)]


def trigger(number: int, **changes: Any) -> Message:
    """A part's trigger message, sealed."""
    fields = header(number, **changes)
    names = ("stream_uuid", "seq", "part_id", "trigger_ns", "deadline_ms", "recipe", "calib_id")
    return encode_trigger(
        TOPICS["trigger"], TriggerMessage(**{name: getattr(fields, name) for name in names})
    )


def state(next_seq: int, ms: float, *, closing: bool = False, **changes: Any) -> Message:
    """A heartbeat sent at `ms`."""
    fields = {"stream_uuid": UUID, "next_seq": next_seq, "closing": closing, "sent_ns": at(ms).realtime_ns}
    return encode_camera_state(TOPICS["state"], CameraState(**{**fields, **changes}))


def changed(message: Message, change: Callable[[dict[str, Any]], None], *, reseal: bool = True) -> Message:
    """A message whose map was changed, sealed again if it was sealed."""
    data = msgpack.unpackb(message[1])
    change(data)
    body = msgpack.packb(data)
    sealed = len(message) in (3, 5)
    return (
        [message[0], body, *message[2:-1], seal(body)]
        if sealed and reseal
        else [message[0], body, *message[2:]]
    )


TOPICS = {kind: topic("line1", "station1", kind) for kind in ("frame", "trigger", "state")}


@dataclass
class Session:
    """Messages of a session by the time of their arrival, ready to be changed; `play` gives the report."""

    messages: list[tuple[float, Message]] = field(default_factory=list)

    @classmethod
    def good(cls, parts: int = 12) -> "Session":
        """Everything that a camera should send: triggers, frames, heartbeats every 200 ms, and its end."""
        session = cls()
        for number in range(parts):
            start = number * PERIOD_MS
            session.add(start + TRIGGER_MS, trigger(number))
            session.add(start + FRAME_MS, frame(number))
        for beat in range(parts // 2):
            ms = beat * 2 * PERIOD_MS + 50
            session.add(ms, state(beat * 2 + 1, ms))
        end = parts * PERIOD_MS
        session.add(end, state(parts, end, closing=True))
        return session

    def add(self, ms: float, message: Message) -> None:
        """Add a message that arrives at `ms`."""
        self.messages.append((ms, message))

    def of_kind(self, kind: str) -> Iterator[int]:
        """Places of the messages of a kind."""
        return (i for i, (_, message) in enumerate(self.messages) if message[0] == TOPICS[kind])

    def change(self, kind: str, change: Change, *, reseal: bool = True) -> "Session":
        """Change the map of every message of a kind."""
        for number, i in enumerate(list(self.of_kind(kind))):
            ms, message = self.messages[i]
            self.messages[i] = (ms, changed(message, lambda data, n=number: change(data, n), reseal=reseal))  # type: ignore[misc]
        return self

    def replace(self, kind: str, make: Callable[[Message, int], Message | None]) -> "Session":
        """Replace every message of a kind, or leave it out."""
        places = list(self.of_kind(kind))
        made = {i: make(self.messages[i][1], number) for number, i in enumerate(places)}
        pairs = [(ms, made.get(i, message)) for i, (ms, message) in enumerate(self.messages)]
        self.messages = [(ms, message) for ms, message in pairs if message is not None]
        return self

    def without(self, kind: str) -> "Session":
        """Leave every message of a kind out."""
        return self.replace(kind, lambda *_: None)

    def play(self, line: str = "", station: str = "", until_ms: float | None = None) -> list[ReportLine]:
        """The report of a checker that heard everything in its order."""
        checker = Conformance(at(0), line, station)
        ordered = sorted(self.messages, key=lambda item: item[0])
        for ms, message in ordered:
            checker.message(message, at(ms))
        return checker.lines(
            at(until_ms if until_ms is not None else (ordered[-1][0] + 10 if ordered else 10))
        )


def said(lines: list[ReportLine], level: Level) -> dict[str, str]:
    """Texts of the lines of a level, by their check."""
    found: dict[str, str] = {}
    for line in lines:
        if line.level is level:
            found[line.check] = f"{found.get(line.check, '')}{line.found}\n"
    return found
