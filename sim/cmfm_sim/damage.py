"""Damage to one message: parts in, other parts out, drawn from a random generator. Nothing is changed in place.

A message is `[topic][header][rgb][xyz][seal?]` as `encode_frame` makes it (WIRE.md, frame). The topic stays whole: a
subscriber would not receive a message with another. Every function returns a message that is no valid frame.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgpack
import numpy as np

from cmfm_protocol.wire.limits import MAX_HEADER_BYTES, PROTOCOL_MAJOR
from cmfm_sim.faults import FaultKind

Parts = Sequence[bytes | memoryview]
Message = list[bytes | memoryview]
Rng = np.random.Generator
Damage = Callable[[Parts, Rng], Message]

HEADER, RGB, XYZ, SEAL = 1, 2, 3, 4


def corrupt(parts: Parts, rng: Rng) -> Message:
    """Flip one to eight bits of one part; all of them elsewhere, so that none is flipped back."""
    index = int(rng.integers(HEADER, len(parts)))
    flat = np.frombuffer(parts[index], dtype=np.uint8).copy()
    count = min(int(rng.integers(1, 9)), flat.size)
    places = rng.choice(flat.size, size=count, replace=False)
    flat[places] ^= np.left_shift(1, rng.integers(0, 8, size=count)).astype(np.uint8)
    return _replaced(parts, {index: flat.tobytes()})


def truncate(parts: Parts, rng: Rng) -> Message:
    """Leave out the last parts (the seal alone, or more), or the last bytes of header, rgb or xyz."""
    if rng.random() < 0.5:
        return list(parts[: int(rng.integers(1, len(parts)))])
    index = int(rng.integers(HEADER, XYZ + 1))
    part = memoryview(parts[index])
    return _replaced(parts, {index: bytes(part[: int(rng.integers(0, part.nbytes))])})


def oversize(parts: Parts, rng: Rng) -> Message:
    """Append bytes to a picture, a part to the message, or padding to the header beyond what the wire allows."""
    how = int(rng.integers(3))
    if how == 0:
        index = int(rng.integers(RGB, XYZ + 1))
        return _replaced(parts, {index: bytes(parts[index]) + rng.bytes(int(rng.integers(1, 4096)))})
    if how == 1:
        return [*parts, *([b"one part more"] * (SEAL + 2 - len(parts)))]
    return _resealed(parts, lambda header: {**header, "padding": bytes(MAX_HEADER_BYTES)})


def wrong(parts: Parts, rng: Rng) -> Message:
    """An array that is not what the wire prescribes, described honestly or not, under a valid seal."""
    change = (_float64_points, _two_channels, _more_rows, _fewer_rows)[int(rng.integers(4))]
    return change(parts)


def garbage(parts: Parts, rng: Rng) -> Message:
    """Random bytes for the header, or a message of something else altogether."""
    if rng.random() < 0.5:
        # 0xc1 is the one byte that msgpack never uses.
        return _replaced(parts, {HEADER: b"\xc1" + rng.bytes(len(parts[HEADER]))})
    return [parts[0], b'{"hello": "camera"}', rng.bytes(64)]


def version(parts: Parts, rng: Rng) -> Message:
    """A header of a later major version, valid otherwise."""
    major = PROTOCOL_MAJOR + int(rng.integers(1, 100))
    return _resealed(parts, lambda header: {**header, "v": major})


DAMAGES: Final[Mapping[FaultKind, Damage]] = {
    FaultKind.CORRUPT: corrupt,
    FaultKind.TRUNCATE: truncate,
    FaultKind.OVERSIZE: oversize,
    FaultKind.WRONG: wrong,
    FaultKind.GARBAGE: garbage,
    FaultKind.VERSION: version,
}
"""The faults that change a message's bytes."""


def _float64_points(parts: Parts) -> Message:
    points = np.frombuffer(parts[XYZ], dtype="<f4").astype("<f8")
    return _with_array(parts, XYZ, points.tobytes(), lambda spec: {**spec, "dtype": "<f8"})


def _two_channels(parts: Parts) -> Message:
    body = bytes(memoryview(parts[RGB])[: memoryview(parts[RGB]).nbytes // 3 * 2])
    return _with_array(parts, RGB, body, lambda spec: {**spec, "shape": [*spec["shape"][:2], 2]})


def _more_rows(parts: Parts) -> Message:
    """The header promises a row that does not come."""
    return _resealed(parts, lambda header: _changed_spec(header, XYZ, _one_row_more))


def _fewer_rows(parts: Parts) -> Message:
    """Points of another size than the picture, in themselves in order."""
    points = memoryview(parts[XYZ])
    rows: int = _unpack(parts)["arrays"][XYZ - RGB]["shape"][0]
    kept = max(rows - 1, 1) if rows > 1 else 2
    body = (bytes(points) * kept)[: points.nbytes // rows * kept]
    return _with_array(parts, XYZ, body, lambda spec: {**spec, "shape": [kept, *spec["shape"][1:]]})


def _one_row_more(spec: dict[str, Any]) -> dict[str, Any]:
    rows, *rest = spec["shape"]
    return {**spec, "shape": [rows + 1, *rest], "nbytes": spec["nbytes"] // rows * (rows + 1)}


def _with_array(
    parts: Parts, index: int, body: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Message:
    """Another array in the message, its byte count and checksum right."""

    def respec(spec: dict[str, Any]) -> dict[str, Any]:
        return {**change(spec), "nbytes": len(body), "crc32": zlib.crc32(body)}

    resealed = _resealed(parts, lambda header: _changed_spec(header, index, respec))
    return _replaced(resealed, {index: body})


def _changed_spec(
    header: dict[str, Any], index: int, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    specs = list(header["arrays"])
    specs[index - RGB] = change(specs[index - RGB])
    return {**header, "arrays": specs}


def _resealed(parts: Parts, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Message:
    """The message with another header, and the seal of that."""
    body: bytes = msgpack.packb(change(_unpack(parts)), use_bin_type=True)
    sealed = {SEAL: zlib.crc32(body).to_bytes(4, "big")} if len(parts) > SEAL else {}
    return _replaced(parts, {HEADER: body, **sealed})


def _unpack(parts: Parts) -> dict[str, Any]:
    header: dict[str, Any] = msgpack.unpackb(parts[HEADER], raw=False)
    return header


def _replaced(parts: Parts, new: Mapping[int, bytes]) -> Message:
    return [new.get(index, part) for index, part in enumerate(parts)]
