"""Topics: the first message frame of every published message, by which subscribers filter (WIRE.md, topics)."""

import re
from dataclasses import dataclass
from typing import Final

from cmfm_protocol.wire.errors import LocalProtocolError, RemoteProtocolError
from cmfm_protocol.wire.limits import NAME_PATTERN, NAME_RULE, PROTOCOL_MAJOR
from cmfm_protocol.wire.verdict import Reason

KINDS: Final = ("frame", "result", "map", "state", "trigger")
"""Kinds of message that have a topic."""

_PREFIX: Final = "cmfm"
_NAME: Final = re.compile(NAME_PATTERN)
_SHAPE: Final = re.compile(r"cmfm/(\d{1,9})/([^/]*)/([^/]*)/([^/]*)/", re.ASCII)


@dataclass(frozen=True, slots=True)
class Topic:
    """The names in a topic."""

    line: str
    station: str
    kind: str


def topic(line: str, station: str, kind: str) -> bytes:
    """`cmfm/1/<line>/<station>/<kind>/`; the last slash keeps line1 from matching line10.

    Raises LocalProtocolError for a name outside `NAME_PATTERN` or a kind outside `KINDS`.
    """
    for what, value in (("line", line), ("station", station)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise LocalProtocolError(f"{what} {value!r}: {NAME_RULE}")
    if kind not in KINDS:
        raise LocalProtocolError(f"topic kind {kind!r} is not one of {', '.join(KINDS)}")
    return f"{_PREFIX}/{PROTOCOL_MAJOR}/{line}/{station}/{kind}/".encode()


def parse_topic(topic: bytes | bytearray | memoryview) -> Topic:
    """The names in a topic. Raises RemoteProtocolError (`malformed`, `unknown_version`)."""
    match = _SHAPE.fullmatch(bytes(topic[:512]).decode("ascii", errors="replace"))
    if match is None:
        raise RemoteProtocolError(Reason.MALFORMED, "topic is not cmfm/<major>/<line>/<station>/<kind>/")
    major, line, station, kind = match.groups()
    if int(major) != PROTOCOL_MAJOR:
        raise RemoteProtocolError(
            Reason.UNKNOWN_VERSION, f"topic of major version {int(major)}; this is {PROTOCOL_MAJOR}"
        )
    if not _NAME.fullmatch(line) or not _NAME.fullmatch(station) or kind not in KINDS:
        raise RemoteProtocolError(Reason.MALFORMED, "topic with a name or a kind that is not one")
    return Topic(line, station, kind)


def require_kind(topic: bytes, kind: str) -> None:
    """Refuse to send a message under a topic of another kind. Raises LocalProtocolError."""
    try:
        found = parse_topic(topic).kind
    except (RemoteProtocolError, TypeError, ValueError) as error:
        raise LocalProtocolError(f"{topic!r} is not a topic; topics.topic() makes one") from error
    if found != kind:
        raise LocalProtocolError(f"a {kind} cannot go out under the topic {topic!r}")
