"""The errors of the wire: our own mistakes, and those of the other side."""

from cmfm_protocol.wire.verdict import Reason


class ProtocolError(Exception):
    """A message does not follow WIRE.md."""


class LocalProtocolError(ProtocolError):
    """We tried to send a message that the wire forbids: a bug on this side. Nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """A message that arrived does not follow the wire. No other exception leaves a decoder, whatever the bytes.

    `reason` is a FAULT reason, `detail` one printable line for people. The other attributes say which part was
    announced; each is None unless it could be read and believed. A header that its seal proves damaged names nothing,
    so that a flipped bit never attributes a FAULT to another part.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        stream_uuid: str | None = None,
        seq: int | None = None,
        part_id: str | None = None,
        trigger_ns: int | None = None,
        deadline_ms: float | None = None,
        clock: str | None = None,
        recipe: str | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.stream_uuid = stream_uuid
        self.seq = seq
        self.part_id = part_id
        self.trigger_ns = trigger_ns
        self.deadline_ms = deadline_ms
        self.clock = clock
        self.recipe = recipe


class Violation(Exception):  # noqa: N818 (internal: it leaves this package as one of the two errors above)
    """A broken rule, before it is known which side broke it; never leaves this package.

    `path` names the field, as in `arrays[0].nbytes`.
    """

    def __init__(self, reason: Reason, message: str, path: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def under(self, parent: str) -> "Violation":
        """The same rule broken one level further out."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return Violation(self.reason, self.message, f"{parent}{joint}{self.path}")
