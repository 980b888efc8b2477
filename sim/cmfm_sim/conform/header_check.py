"""Headers and maps: msgpack, required keys, types and ranges of all fields, unknown keys."""

from typing import Any, Final

from cmfm_protocol.wire.encoding import salvage, unpack
from cmfm_protocol.wire.errors import RemoteProtocolError, Violation
from cmfm_protocol.wire.fields import fields_of
from cmfm_protocol.wire.frame import FrameHeader, decode_frame
from cmfm_protocol.wire.limits import MAX_HEADER_BYTES, PROTOCOL_MAJOR
from cmfm_protocol.wire.state import CameraState, decode_camera_state
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger
from cmfm_sim.conform.heard import Arrival, Heard, MessageFrames, valid_fields
from cmfm_sim.conform.map_hints import hint_of, near_names, value_hint
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

TYPES: Final[dict[str, type[Any]]] = {
    "frame": FrameHeader,
    "trigger": TriggerMessage,
    "state": CameraState,
}
SECTIONS: Final = {"frame": "Frame header", "trigger": "Trigger fields", "state": "Camera state"}
MORE_KEYS: Final = {"frame": {"v", "sealed"}, "trigger": {"v"}, "state": {"v"}}


class HeaderCheck:
    """Reads the map of every message, each field by itself, and then as the worker does."""

    def __init__(self) -> None:
        self._logs = {kind: CheckLog(f"{kind} fields", section) for kind, section in SECTIONS.items()}
        self._decoders = {kind: CheckLog(f"{kind}s decoded", "Encoding") for kind in SECTIONS}
        self._read = dict.fromkeys(SECTIONS, 0)
        self._heard = dict.fromkeys(SECTIONS, 0)

    def read(self, kind: str, source: str, arrival: Arrival, frames: MessageFrames) -> Heard:
        """Note what is wrong with a message's map, and return what could be read."""
        self._heard[kind] += 1
        log = self._logs[kind]
        if len(frames) < 2:
            log.fail("the message ends after the topic", "send the map as the second message frame")
            return Heard(kind, source, arrival, frames)
        body = memoryview(frames[1])
        try:
            raw: dict[str, object] = unpack(body, max_bytes=MAX_HEADER_BYTES)
        except Violation:
            hint = hint_of(body)
            log.fail(f"the map is {hint.looks_like}", hint.do)
            raw = salvage(body)
        values, problems = valid_fields(TYPES[kind], raw)
        heard = Heard(kind, source, arrival, frames, raw, values)
        if raw:
            self._fields(heard, problems)
        return heard

    def decode(self, heard: Heard) -> Any:
        """The value as the worker's decoder reads it; None if it refuses the message."""
        try:
            value = _decoded(heard)
        except RemoteProtocolError as error:
            self._decoders[heard.kind].fail(
                f"refused with {error.reason}: {error.detail}",
                "a worker answers such a frame with this FAULT"
                if heard.kind == "frame"
                else "a worker counts and ignores such a message",
                heard.name,
            )
            return None
        self._read[heard.kind] += 1
        return value

    def lines(self) -> list[ReportLine]:
        """The report, kind by kind."""
        lines: list[ReportLine] = []
        for kind, heard in self._heard.items():
            if heard:
                names = ", ".join(field.name for field in fields_of(TYPES[kind]) if field.required)
                lines += self._logs[kind].lines(f"v, {names} and all optional fields given are valid")
                lines += self._decoders[kind].lines(f"{self._read[kind]} of {heard} messages read")
        return lines

    def _fields(self, heard: Heard, problems: dict[str, str]) -> None:
        log = self._logs[heard.kind]
        version = heard.raw.get("v")
        if version != PROTOCOL_MAJOR or isinstance(version, bool):
            shown = "missing" if "v" not in heard.raw else f"{version!r}"[:20]
            log.fail(f"v is {shown} instead of {PROTOCOL_MAJOR}", 'write "v": 1 into every map', heard.name)
        known = {field.name for field in fields_of(TYPES[heard.kind])} | MORE_KEYS[heard.kind]
        near = near_names(heard.raw, known)
        for name, problem in problems.items():
            meant = [key for key, field in near.items() if field == name]
            do = f"{meant[0]!r} is ignored; write {name!r}" if meant else ""
            log.fail(problem, do or value_hint(problem, heard.raw.get(name)), heard.name)
        for key, name in near.items():
            if name not in problems:
                log.remark(f"key {key!r} is ignored", f"write {name!r}, if that is meant")
        if others := sorted(key for key in heard.raw if key not in known and key not in near):
            log.remark(f"keys that receivers ignore: {', '.join(others)[:120]}", "allowed; nothing to do")


def _decoded(heard: Heard) -> Any:
    if heard.kind == "frame":
        return decode_frame(heard.frames)
    return (decode_trigger if heard.kind == "trigger" else decode_camera_state)(heard.frames)
