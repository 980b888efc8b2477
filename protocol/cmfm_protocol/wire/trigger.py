"""Triggers, announced before their frames by the camera or by the device that fires it (WIRE.md, trigger)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.encoding import MessageFrame, byte_views, ours, pack, read_body, theirs
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import plain_map
from cmfm_protocol.wire.frame import Sealed, TriggerFields, check_seal, seal
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason


@dataclass(frozen=True, slots=True)
class TriggerMessage(TriggerFields):
    """A part is under way and its frame will follow; its verdict is due `deadline_ms` after `trigger_ns`.

    A decoded message is `sealed` if it carried a checksum, and that was right.
    """

    sealed: Sealed = False


def encode_trigger(topic: bytes, trigger: TriggerMessage, *, checksums: bool = True) -> list[bytes]:
    """`[topic][map]` and, with `checksums`, `[seal]`. Raises LocalProtocolError."""
    require_kind(topic, "trigger")
    with ours():
        data = plain_map(replace(trigger, sealed=checksums))
        body = pack(data, max_bytes=limits.MAX_TRIGGER_BYTES)
    return [topic, body, seal(body)] if checksums else [topic, body]


def decode_trigger(message: Sequence[MessageFrame]) -> TriggerMessage:
    """The trigger in `[topic][map][seal?]`. Raises RemoteProtocolError, also for a seal that does not fit."""
    with theirs():
        views = byte_views(message)
        if not 2 <= len(views) <= 3:
            reason = Reason.TRUNCATED if len(views) < 2 else Reason.MALFORMED
            raise Violation(reason, f"{len(views)} message frames instead of topic, map and seal")
        body, has_seal = views[1], len(views) == 3
        if has_seal and body.nbytes <= limits.MAX_TRIGGER_BYTES:
            check_seal(body, views[2])
        trigger = read_body(body, TriggerMessage, max_bytes=limits.MAX_TRIGGER_BYTES)
        if trigger.sealed and not has_seal:
            raise Violation(Reason.TRUNCATED, "the seal that the map announces is missing")
        return replace(trigger, sealed=has_seal)
