"""Messages as tables: one msgpack map ↔ one frozen dataclass, within limits (WIRE.md, encoding).

A table has one check for each field of the dataclass. A field without a default is required on the wire.
Unknown keys are ignored; a key that comes twice, a key that is no text, bytes after the map and msgpack
extension types are not.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.checks import Check, at
from cmfm_protocol.wire.errors import LocalProtocolError, RemoteProtocolError, Violation
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Part = bytes | bytearray | memoryview
"""One part of a message."""

Table = Mapping[str, Check]
"""{field: check}."""

VERSION_KEY: Final = "v"
MALFORMED: Final = Reason.MALFORMED

SCALARS: Final = frozenset({int, float, str, bool, type(None)})

T = TypeVar("T", bound="DataclassInstance")


def read(kind: type[T], table: Table, data: Mapping[str, object]) -> T:
    """The dataclass from a map. Raises Violation naming the field."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in data:
            values[field.name] = at(field.name, table[field.name], data[field.name])
        elif field.default is MISSING:
            raise Violation(MALFORMED, "missing", field.name)
    return kind(**values)


def nested(kind: type[T], table: Table) -> Check:
    """A check for a map inside a message."""

    def check(value: object) -> T:
        if not isinstance(value, dict):
            raise Violation(MALFORMED, f"expected a map, got {type(value).__name__}")
        return read(kind, table, value)

    return check


def plain(value: object) -> Any:
    """Dataclasses as maps, tuples as lists, members of enumerations as their values."""
    if type(value) in SCALARS:  # most are; a message has dozens
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def checked(record: T, table: Table) -> T:
    """The record as its receiver will see it. Raises Violation where the receiver would."""
    return read(type(record), table, plain(record))


def pack(data: Mapping[str, object], *, max_bytes: int) -> bytes:
    """A message map with the version in front. Raises Violation (`oversize`)."""
    body: bytes = msgpack.packb({VERSION_KEY: limits.PROTOCOL_MAJOR, **data}, use_bin_type=True)
    if len(body) > max_bytes:
        raise Violation(Reason.OVERSIZE, f"{len(body)} bytes; at most {max_bytes}")
    return body


def unpack(body: memoryview, *, max_bytes: int) -> dict[str, object]:
    """The map in `body`. Raises Violation (`oversize`, `malformed`); the version is not looked at."""
    if body.nbytes > max_bytes:
        raise Violation(Reason.OVERSIZE, f"{body.nbytes} bytes; at most {max_bytes}")
    try:
        data = msgpack.unpackb(body, **_options(body.nbytes))
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise Violation(MALFORMED, f"not one msgpack map within limits ({type(error).__name__})") from error
    if not isinstance(data, dict):
        raise Violation(MALFORMED, f"expected a map, got {type(data).__name__}")
    return data


def salvage(body: memoryview) -> dict[str, object]:
    """The keys that can still be read at the front of a broken map. Never raises."""
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
        pass  # what was read before the damage is all there is
    return data


def require_version(data: Mapping[str, object]) -> None:
    """Raises Violation (`unknown_version`; `malformed` where there is none)."""
    version = data.get(VERSION_KEY)
    if not isinstance(version, int) or isinstance(version, bool):
        raise Violation(MALFORMED, "expected the major version as an integer", VERSION_KEY)
    if version != limits.PROTOCOL_MAJOR:
        raise Violation(
            Reason.UNKNOWN_VERSION, f"major version {version}; this is {limits.PROTOCOL_MAJOR}", VERSION_KEY
        )


def encode(
    topic: bytes, kind: str, record: "DataclassInstance", table: Table, *, max_bytes: int
) -> list[bytes]:
    """`[topic][map]` of a message without arrays. Raises LocalProtocolError."""
    require_kind(topic, kind)
    with ours():
        return [topic, pack(plain(checked(record, table)), max_bytes=max_bytes)]


def decode(parts: Sequence[Part], kind: type[T], table: Table, *, max_bytes: int) -> T:
    """A message without arrays from `[topic][map]`; further parts are refused. Raises RemoteProtocolError."""
    with theirs():
        views = byte_views(parts)
        if len(views) != 2:
            reason = Reason.TRUNCATED if len(views) < 2 else MALFORMED
            raise Violation(reason, f"{len(views)} parts instead of topic and map")
        data = unpack(views[1], max_bytes=max_bytes)
        require_version(data)
        return read(kind, table, data)


def byte_views(parts: Sequence[Part]) -> list[memoryview]:
    """Each part as a flat read-only view of bytes, not copied. Raises Violation."""
    if len(parts) > limits.MAX_PARTS:
        raise Violation(Reason.ARRAY_MISMATCH, f"{len(parts)} parts; at most {limits.MAX_PARTS}")
    try:
        return [memoryview(part).cast("B").toreadonly() for part in parts]
    except (TypeError, ValueError) as error:  # not a buffer, or one with gaps
        raise Violation(MALFORMED, "a part is not contiguous bytes") from error


@contextmanager
def ours() -> Iterator[None]:
    """A broken rule while sending is LocalProtocolError."""
    try:
        yield
    except Violation as violation:
        raise LocalProtocolError(str(violation)) from None


@contextmanager
def theirs(named: Mapping[str, Any] | None = None) -> Iterator[None]:
    """A broken rule while receiving is RemoteProtocolError; `named` says which part, as known by then."""
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
        raise Violation(MALFORMED, "a map with the same key twice")
    return data


def _refuse_extension(code: int, payload: bytes) -> object:
    raise Violation(MALFORMED, f"msgpack extension type {code} of {len(payload)} bytes")
