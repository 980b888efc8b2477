"""Damages one message, drawn from a random generator. Nothing is changed in place.

A message is `[topic][header][rgb][xyz][seal?]` as `encode_frame` makes it (WIRE.md, frame). The topic stays whole: a
subscriber would not receive a message with another one. Every function returns a message that a decoder refuses.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgpack
import numpy as np

from cmfm_protocol.wire.limits import MAX_HEADER_BYTES, PROTOCOL_MAJOR
from cmfm_sim.faults import FaultKind

MessageFrames = Sequence[bytes | memoryview]
Message = list[bytes | memoryview]
Rng = np.random.Generator
Damage = Callable[[MessageFrames, Rng], Message]

HEADER, RGB, XYZ, SEAL = 1, 2, 3, 4


def corrupt(frames: MessageFrames, rng: Rng) -> Message:
    """Flip one to eight bits of one message frame, each in another byte."""
    index = int(rng.integers(HEADER, len(frames)))
    flat = np.frombuffer(frames[index], dtype=np.uint8).copy()
    count = min(int(rng.integers(1, 9)), flat.size)
    places = rng.choice(flat.size, size=count, replace=False)
    flat[places] ^= np.left_shift(1, rng.integers(0, 8, size=count)).astype(np.uint8)
    return _replaced(frames, {index: flat.tobytes()})


def truncate(frames: MessageFrames, rng: Rng) -> Message:
    """Leave out the last message frames (the seal alone, or more), or the last bytes of header, rgb or xyz."""
    if rng.random() < 0.5:
        return list(frames[: int(rng.integers(1, len(frames)))])
    index = int(rng.integers(HEADER, XYZ + 1))
    frame = memoryview(frames[index])
    return _replaced(frames, {index: bytes(frame[: int(rng.integers(0, frame.nbytes))])})


def oversize(frames: MessageFrames, rng: Rng) -> Message:
    """Append bytes to a picture, a message frame to the message, or padding to the header beyond its limit."""
    how = int(rng.integers(3))
    if how == 0:
        index = int(rng.integers(RGB, XYZ + 1))
        return _replaced(frames, {index: bytes(frames[index]) + rng.bytes(int(rng.integers(1, 4096)))})
    if how == 1:
        return [*frames, *([b"one frame more"] * (SEAL + 2 - len(frames)))]
    return _resealed(frames, lambda header: {**header, "padding": bytes(MAX_HEADER_BYTES)})


def wrong(frames: MessageFrames, rng: Rng) -> Message:
    """Send an array of another dtype, shape or size than the wire prescribes, under a valid seal."""
    change = (_float64_points, _two_channels, _more_rows, _fewer_rows)[int(rng.integers(4))]
    return change(frames)


def garbage(frames: MessageFrames, rng: Rng) -> Message:
    """Replace the header by random bytes, or the whole message by one of another protocol."""
    if rng.random() < 0.5:
        # 0xc1 is the one byte that msgpack never uses.
        return _replaced(frames, {HEADER: b"\xc1" + rng.bytes(len(frames[HEADER]))})
    return [frames[0], b'{"hello": "camera"}', rng.bytes(64)]


def version(frames: MessageFrames, rng: Rng) -> Message:
    """Give the header a later major version."""
    major = PROTOCOL_MAJOR + int(rng.integers(1, 100))
    return _resealed(frames, lambda header: {**header, "v": major})


DAMAGES: Final[Mapping[FaultKind, Damage]] = {
    FaultKind.CORRUPT: corrupt,
    FaultKind.TRUNCATE: truncate,
    FaultKind.OVERSIZE: oversize,
    FaultKind.WRONG: wrong,
    FaultKind.GARBAGE: garbage,
    FaultKind.VERSION: version,
}
"""The faults that change a message's bytes."""


def _float64_points(frames: MessageFrames) -> Message:
    points = np.frombuffer(frames[XYZ], dtype="<f4").astype("<f8")
    return _with_array(frames, XYZ, points.tobytes(), lambda spec: {**spec, "dtype": "<f8"})


def _two_channels(frames: MessageFrames) -> Message:
    body = bytes(memoryview(frames[RGB])[: memoryview(frames[RGB]).nbytes // 3 * 2])
    return _with_array(frames, RGB, body, lambda spec: {**spec, "shape": [*spec["shape"][:2], 2]})


def _more_rows(frames: MessageFrames) -> Message:
    """A header that announces one row too many."""
    return _resealed(frames, lambda header: _changed_spec(header, XYZ, _one_row_more))


def _fewer_rows(frames: MessageFrames) -> Message:
    """Points of another size than the picture, described correctly."""
    points = memoryview(frames[XYZ])
    rows: int = _unpack(frames)["arrays"][XYZ - RGB]["shape"][0]
    kept = max(rows - 1, 1) if rows > 1 else 2
    body = (bytes(points) * kept)[: points.nbytes // rows * kept]
    return _with_array(frames, XYZ, body, lambda spec: {**spec, "shape": [kept, *spec["shape"][1:]]})


def _one_row_more(spec: dict[str, Any]) -> dict[str, Any]:
    rows, *rest = spec["shape"]
    return {**spec, "shape": [rows + 1, *rest], "nbytes": spec["nbytes"] // rows * (rows + 1)}


def _with_array(
    frames: MessageFrames, index: int, body: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Message:
    """Replace an array, with its byte count and checksum."""

    def respec(spec: dict[str, Any]) -> dict[str, Any]:
        return {**change(spec), "nbytes": len(body), "crc32": zlib.crc32(body)}

    resealed = _resealed(frames, lambda header: _changed_spec(header, index, respec))
    return _replaced(resealed, {index: body})


def _changed_spec(
    header: dict[str, Any], index: int, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    specs = list(header["arrays"])
    specs[index - RGB] = change(specs[index - RGB])
    return {**header, "arrays": specs}


def _resealed(frames: MessageFrames, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Message:
    """Replace the header and its seal."""
    body: bytes = msgpack.packb(change(_unpack(frames)), use_bin_type=True)
    sealed = {SEAL: zlib.crc32(body).to_bytes(4, "big")} if len(frames) > SEAL else {}
    return _replaced(frames, {HEADER: body, **sealed})


def _unpack(frames: MessageFrames) -> dict[str, Any]:
    header: dict[str, Any] = msgpack.unpackb(frames[HEADER], raw=False)
    return header


def _replaced(frames: MessageFrames, new: Mapping[int, bytes]) -> Message:
    return [new.get(index, frame) for index, frame in enumerate(frames)]
