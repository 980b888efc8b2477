"""Says what a header or map that cannot be read looks like, and what to do. Pure."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgpack

from cmfm_protocol.wire.limits import MAX_HEADER_BYTES

CBOR_MAPS: Final = {0xBF, *range(0xA1, 0xB8)}
"""First bytes of a map in CBOR; in msgpack they begin a short text."""


class Hint(NamedTuple):
    """A guess of the mistake in a map, and the advice for it."""

    looks_like: str
    do: str


def hint_of(body: bytes | memoryview) -> Hint:
    """Return what a body is that is no msgpack map within the limits."""
    data = bytes(body[: MAX_HEADER_BYTES + 1])
    if len(data) > MAX_HEADER_BYTES:
        return Hint(
            f"a map of more than {MAX_HEADER_BYTES} bytes",
            "send pictures in message frames of their own, not in the map",
        )
    if not data:
        return Hint("an empty message frame", "send one msgpack map")
    if data[:1] in (b"{", b"[") and _is_json(data):
        return Hint("JSON", "encode the map with msgpack")
    if data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return Hint("a Python pickle", "encode the map with msgpack; nothing is ever unpickled")
    try:
        value = msgpack.unpackb(data, raw=True, strict_map_key=False)
    except msgpack.exceptions.ExtraData:
        if data[0] in CBOR_MAPS:
            return Hint("CBOR or a msgpack text", "encode the map with msgpack")
        return Hint("one msgpack value with bytes after it", "send one map and nothing after it")
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        return _not_msgpack(data)
    if isinstance(value, list):
        return Hint(
            "a msgpack array", "send a map from field names to values (keys as text, not by position)"
        )
    if not isinstance(value, dict):
        return _not_msgpack(data)
    return _refused_map(data)


def near_names(raw: Mapping[str, Any], known: set[str]) -> dict[str, str]:
    """Unknown keys that look like a known one that is absent, with that one."""
    absent = [name for name in known if name not in raw]
    plain = {name.replace("_", ""): name for name in absent}
    found = {}
    for key in raw:
        if key in known:
            continue
        near = get_close_matches(key.lower().replace("_", "").replace("-", ""), plain, n=1, cutoff=0.8)
        if near:
            found[key] = plain[near[0]]
    return found


def value_hint(message: str, value: object) -> str:
    """Return the advice for a field whose value is refused."""
    if isinstance(value, bytes):
        return "write it as msgpack str, not bin"
    if isinstance(value, float) and "an integer" in message:
        return "write it as a msgpack integer; in JavaScript a number above 2^53 must be a BigInt"
    if isinstance(value, str) and "an integer" in message:
        return "write it as a msgpack integer, not as text"
    if isinstance(value, bool) or value in (0, 1):
        return "write numbers as numbers, and bool as msgpack true or false"
    return "send the type that the table of fields names"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _not_msgpack(data: bytes) -> Hint:
    if data[0] in CBOR_MAPS:
        return Hint("CBOR or a msgpack text", "encode the map with msgpack")
    return Hint("no msgpack map", "encode one map with msgpack; is this message frame the map at all?")


def _refused_map(data: bytes) -> Hint:
    try:
        pairs = msgpack.unpackb(data, raw=False, strict_map_key=False, object_pairs_hook=list)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        return Hint("a map with text that is not UTF-8", "encode text as UTF-8")
    keys = [key for key, _ in pairs]
    if any(isinstance(key, bytes) for key in keys):
        return Hint("a map with keys of type bin", "write keys as msgpack str")
    if any(not isinstance(key, str) for key in keys):
        return Hint("a map whose keys are no text", "write the field names as keys")
    if len(set(keys)) != len(keys):
        return Hint("a map with the same key twice", "write each key once")
    return Hint(
        "a map with an extension type (a timestamp?) or beyond a limit",
        "write times as integers in ns; a map has at most 64 keys",
    )
