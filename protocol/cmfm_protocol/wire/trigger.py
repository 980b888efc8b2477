"""Triggers, announced before their frames by the camera or by what fires it (WIRE.md, trigger)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.checks import flag
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.frame import HEADER_TABLE, SEALED_KEY, check_seal, seal
from cmfm_protocol.wire.record import (
    Part,
    Table,
    byte_views,
    checked,
    ours,
    pack,
    plain,
    read,
    require_version,
    theirs,
    unpack,
)
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason


@dataclass(frozen=True, slots=True)
class TriggerMessage:
    """A part is under way whose frame will follow; its verdict is due `deadline_ms` after `trigger_ns`.

    Fields as in `FrameHeader`. `sealed`: the message carries a checksum, and it was right.
    """

    stream_uuid: str
    seq: int
    part_id: str
    trigger_ns: int
    deadline_ms: float
    recipe: str
    clock: str = "realtime"
    encoder: int | None = None
    calib_id: str = ""
    simulated: bool = False
    sealed: bool = False


TRIGGER_TABLE: Final[Table] = {
    field.name: flag if field.name == SEALED_KEY else HEADER_TABLE[field.name]
    for field in fields(TriggerMessage)
}


def encode_trigger(topic: bytes, message: TriggerMessage, *, checksums: bool = True) -> list[bytes]:
    """`[topic][map]` and, with `checksums`, `[seal]`. Raises LocalProtocolError."""
    require_kind(topic, "trigger")
    with ours():
        data = plain(checked(replace(message, sealed=checksums), TRIGGER_TABLE))
        body = pack(data, max_bytes=limits.MAX_TRIGGER_BYTES)
    return [topic, body, seal(body)] if checksums else [topic, body]


def decode_trigger(parts: Sequence[Part]) -> TriggerMessage:
    """The trigger in `[topic][map][seal?]`. Raises RemoteProtocolError, also where the seal does not fit."""
    with theirs():
        views = byte_views(parts)
        if not 2 <= len(views) <= 3:
            reason = Reason.TRUNCATED if len(views) < 2 else Reason.MALFORMED
            raise Violation(reason, f"{len(views)} parts instead of topic, map and seal")
        body, has_seal = views[1], len(views) == 3
        if has_seal and body.nbytes <= limits.MAX_TRIGGER_BYTES:
            check_seal(body, views[2])
        data = unpack(body, max_bytes=limits.MAX_TRIGGER_BYTES)
        require_version(data)
        message = read(TriggerMessage, TRIGGER_TABLE, data)
        if message.sealed and not has_seal:
            raise Violation(Reason.TRUNCATED, "the seal that the map announces is missing")
        return replace(message, sealed=has_seal)
