"""Encoding of messages: message frames of bytes ↔ one msgpack map ↔ one dataclass, within limits (WIRE.md, encoding).

Unknown keys are ignored. Refused are a key that comes twice, a key that is not text, bytes after the map, and msgpack
extension types.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgpack

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from cmfm_protocol.wire.fields import Meaning, field_of, plain_map, read
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason
from cmfm_protocol.wire.wire_types import integer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MessageFrame = bytes | bytearray | memoryview
"""One of the byte strings that ZeroMQ delivers as one message; not to be taken for a camera's `Frame`."""

VERSION: Final = field_of("v", Annotated[int, integer(), Meaning("major version, 1")])
"""The first key of every map that is a message."""

T = TypeVar("T", bound="DataclassInstance")


def pack(data: Mapping[str, object], *, max_bytes: int) -> bytes:
    """A message's map with the version in front. Raises Violation (`oversize`)."""
    body: bytes = msgpack.packb({VERSION.name: limits.PROTOCOL_MAJOR, **data}, use_bin_type=True)
    if len(body) > max_bytes:
        raise Violation(Reason.OVERSIZE, f"{len(body)} bytes; at most {max_bytes}")
    return body


def unpack(body: memoryview, *, max_bytes: int) -> dict[str, object]:
    """The map in `body`; its version is not checked. Raises Violation (`oversize`, `malformed`)."""
    if body.nbytes > max_bytes:
        raise Violation(Reason.OVERSIZE, f"{body.nbytes} bytes; at most {max_bytes}")
    try:
        data = msgpack.unpackb(body, **_options(body.nbytes))
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise Violation(
            Reason.MALFORMED, f"not one msgpack map within limits ({type(error).__name__})"
        ) from error
    if not isinstance(data, dict):
        raise Violation(Reason.MALFORMED, f"expected a map, got {type(data).__name__}")
    return data


def salvage(body: memoryview) -> dict[str, object]:
    """The keys that can still be read at the front of a damaged map. Never raises."""
    data: dict[str, object] = {}
    if body.nbytes > limits.MAX_HEADER_BYTES:
        return data
    try:
        unpacker = msgpack.Unpacker(max_buffer_size=max(body.nbytes, 1), **_options(body.nbytes))
        unpacker.feed(body)
        for _ in range(unpacker.read_map_header()):
            key, value = unpacker.unpack(), unpacker.unpack()
            if isinstance(key, str) and key not in data:
                data[key] = value
    except (Violation, ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        pass  # only what was read before the damage is returned
    return data


def require_version(data: Mapping[str, object]) -> None:
    """Raises Violation for another major version (`unknown_version`) or for none (`malformed`)."""
    version = data.get(VERSION.name)
    if not isinstance(version, int) or isinstance(version, bool):
        raise Violation(Reason.MALFORMED, "expected the major version as an integer", VERSION.name)
    if version != limits.PROTOCOL_MAJOR:
        message = f"major version {version}; this is {limits.PROTOCOL_MAJOR}"
        raise Violation(Reason.UNKNOWN_VERSION, message, VERSION.name)


def encode(topic: bytes, kind: str, value: "DataclassInstance", *, max_bytes: int) -> list[bytes]:
    """`[topic][map]` of a message without arrays. Raises LocalProtocolError."""
    require_kind(topic, kind)
    with ours():
        return [topic, pack(plain_map(value), max_bytes=max_bytes)]


def decode(message: Sequence[MessageFrame], kind: type[T], *, max_bytes: int) -> T:
    """The value in `[topic][map]`. Raises RemoteProtocolError, also for further message frames."""
    with theirs():
        views = byte_views(message)
        if len(views) != 2:
            reason = Reason.TRUNCATED if len(views) < 2 else Reason.MALFORMED
            raise Violation(reason, f"{len(views)} message frames instead of topic and map")
        return read_body(views[1], kind, max_bytes=max_bytes)


def read_body(body: memoryview, kind: type[T], *, max_bytes: int) -> T:
    """The value in one map of this major version. Raises Violation."""
    data = unpack(body, max_bytes=max_bytes)
    require_version(data)
    return read(kind, data)


def byte_views(message: Sequence[MessageFrame]) -> list[memoryview]:
    """Each message frame as a flat read-only view of its bytes; nothing is copied. Raises Violation."""
    if len(message) > limits.MAX_MESSAGE_FRAMES:
        raise Violation(
            Reason.ARRAY_MISMATCH, f"{len(message)} message frames; at most {limits.MAX_MESSAGE_FRAMES}"
        )
    try:
        return [memoryview(frame).cast("B").toreadonly() for frame in message]
    except (TypeError, ValueError) as error:  # not a buffer, or one with gaps
        raise Violation(Reason.MALFORMED, "a message frame is not contiguous bytes") from error


@contextmanager
def ours() -> Iterator[None]:
    """Raise LocalProtocolError for a rule that is broken while sending."""
    try:
        yield
    except Violation as violation:
        raise LocalProtocolError(str(violation)) from None


@contextmanager
def theirs(named: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Raise RemoteProtocolError for a rule that is broken in a received message; `named` attributes it to a part."""
    try:
        yield
    except Violation as violation:
        raise RemoteProtocolError(violation.reason, str(violation), **(named or {})) from None


def _options(size: int) -> dict[str, Any]:
    return {
        "raw": False,
        "strict_map_key": True,
        "object_pairs_hook": _unique,
        "ext_hook": _refuse_extension,
        "max_str_len": min(size, limits.MAX_HEADER_BYTES),
        "max_bin_len": min(size, limits.MAX_HEADER_BYTES),
        "max_array_len": limits.MAX_LIST_ITEMS,
        "max_map_len": limits.MAX_MAP_KEYS,
        "max_ext_len": 0,  # also refuses timestamps, which no ext_hook sees
    }


def _unique(pairs: list[tuple[object, object]]) -> dict[object, object]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise Violation(Reason.MALFORMED, "a map with the same key twice")
    if not all(isinstance(key, str) for key in data):  # msgpack's strict_map_key lets bytes pass
        raise Violation(Reason.MALFORMED, "a map with a key that is not text")
    return data


def _refuse_extension(code: int, payload: bytes) -> object:
    raise Violation(Reason.MALFORMED, f"msgpack extension type {code} of {len(payload)} bytes")
