"""Every decoder against damaged, random and hostile bytes: RemoteProtocolError or a value we would send ourselves.

CMFM_FUZZ_ROUNDS sets the length of the seeded loop (default 100 000 in all); a failure prints seed and message.
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmfm_protocol import (
    AnomalyMaps,
    Frame,
    RemoteProtocolError,
    Verdict,
    decode_camera_state,
    decode_frame,
    decode_maps,
    decode_reply,
    decode_request,
    decode_result,
    decode_trigger,
    decode_worker_state,
    encode_camera_state,
    encode_frame,
    encode_maps,
    encode_reply,
    encode_request,
    encode_result,
    encode_trigger,
    encode_worker_state,
    parse_topic,
    topic,
)

VECTORS: Final = Path(__file__).parents[1] / "vectors"
ROUNDS: Final = int(os.environ.get("CMFM_FUZZ_ROUNDS", "100000"))
MAP_ROUNDS: Final = ROUNDS // 200  # a map message is a megabyte

Parts = list[bytes]


@dataclass(frozen=True)
class Target:
    """A decoder, its encoder, and a good message to start from."""

    name: str
    message: Parts
    decode: Callable[[Sequence[bytes]], Any]
    encode: Callable[[Any], Sequence[bytes | memoryview]]


def named(kind: str) -> bytes:
    return topic("line1", "station1", kind)


def read(name: str) -> Parts:
    return [
        bytes.fromhex(line) for line in (VECTORS / f"{name}.hex").read_text(encoding="ascii").splitlines()
    ]


def again(frame: Frame) -> Sequence[bytes | memoryview]:
    checksums = frame.sealed
    return encode_frame(named("frame"), frame.header, frame.rgb, frame.xyz, checksums=checksums)


def body_of(parts: Sequence[bytes]) -> bytes:
    return parts[0] if parts else b""


def targets() -> list[Target]:
    names = sorted(path.stem for path in VECTORS.glob("*.hex"))
    rules: list[tuple[str, Any, Any]] = [
        ("frame", decode_frame, again),
        ("result", decode_result, lambda value: encode_result(named("result"), value)),
        (
            "trigger",
            decode_trigger,
            lambda value: encode_trigger(named("trigger"), value, checksums=value.sealed),
        ),
        ("camera_state", decode_camera_state, lambda value: encode_camera_state(named("state"), value)),
        ("worker_state", decode_worker_state, lambda value: encode_worker_state(named("state"), value)),
        ("request", lambda parts: decode_request(body_of(parts)), lambda value: [encode_request(value)]),
        ("reply", lambda parts: decode_reply(body_of(parts)), lambda value: [encode_reply(value)]),
    ]
    return [
        Target(name, read(name), decode, encode)
        for name in names
        for prefix, decode, encode in rules
        if name.startswith(prefix)
    ]


TARGETS: Final = targets()


def content(value: Any) -> Any:
    """What a decoded value says, in a form that can be compared, NaN included."""
    if isinstance(value, Frame):
        header = replace(value.header, arrays=())
        return header, value.rgb.shape, value.rgb.tobytes(), value.xyz.shape, value.xyz.tobytes()
    if isinstance(value, AnomalyMaps):
        fields = [getattr(value, name) for name in AnomalyMaps.__slots__]
        return [(f.shape, f.tobytes()) if isinstance(f, np.ndarray) else f for f in fields]
    return value


def flip(rng: random.Random, part: bytearray) -> None:
    part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, part: bytearray) -> None:
    part[rng.randrange(len(part))] = rng.choice(
        (0x00, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xCB, 0xD6, 0xDF, 0xFF)
    )


def cut(rng: random.Random, part: bytearray) -> None:
    del part[rng.randrange(len(part)) :]


def delete(rng: random.Random, part: bytearray) -> None:
    at = rng.randrange(len(part))
    del part[at : at + rng.randint(1, 8)]


def insert(rng: random.Random, part: bytearray) -> None:
    at = rng.randrange(len(part) + 1)
    part[at:at] = rng.randbytes(rng.randint(1, 8))


def repeat(rng: random.Random, part: bytearray) -> None:
    at, size = rng.randrange(len(part)), rng.randint(1, 32)
    part[at:at] = part[at : at + size]


def number(rng: random.Random, part: bytearray) -> None:
    at = rng.randrange(len(part))
    part[at : at + 9] = msgpack.packb(rng.choice((-1, 2**53, 2**63, 2**64 - 1, float("nan"), 1e308)))


BYTE_MUTATIONS: Final = (flip, flip, overwrite, cut, delete, insert, repeat, number)


def shuffle_parts(rng: random.Random, parts: Parts) -> Parts:
    at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    changed = list(parts)
    match rng.randrange(4):
        case 0:
            del changed[at]
        case 1:
            changed.insert(at, parts[other])
        case 2:
            changed[at], changed[other] = parts[other], parts[at]
        case _:
            changed.append(rng.randbytes(rng.randrange(6)))
    return changed


def mutate(rng: random.Random, message: Parts) -> Parts:
    """One to four mutations of bytes in parts, or of the parts themselves."""
    parts = list(message)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not parts or rng.random() < 0.1:
            parts = shuffle_parts(rng, parts or message)
            continue
        at = rng.randrange(len(parts))
        if parts[at]:
            part = bytearray(parts[at])
            rng.choice(BYTE_MUTATIONS)(rng, part)
            parts[at] = bytes(part)
    return parts


def outcome(decode: Callable[[Parts], Any], parts: Parts) -> tuple[Any, RemoteProtocolError | None]:
    """The value or the refusal; a refusal can be printed in a log, whatever was refused."""
    try:
        return decode(parts), None
    except RemoteProtocolError as error:
        refusal = error
    assert refusal.detail.isprintable()
    return None, refusal


def survive(target: Target, parts: Parts) -> Any:
    """The value, if there is one; it must be one that we would send, and that arrives unchanged."""
    value, refusal = outcome(target.decode, parts)
    if refusal is not None:
        return None
    sent = [bytes(part) for part in target.encode(value)]
    assert content(target.decode(sent)) == content(value)
    return value


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutations_are_refused_or_legal(target: Target) -> None:
    """Damage never brings down a decoder and never gets an illegal value through."""
    rng = random.Random(target.name)
    for round_ in range(ROUNDS // len(TARGETS)):
        parts = mutate(rng, target.message)
        try:
            survive(target, parts)
        except BaseException:
            print(f"{target.name}, round {round_}: {[part.hex() for part in parts]}")
            raise


def test_damaged_sealed_frame_is_never_another_frame() -> None:
    """With checksums and seal, whatever survives damage is exactly what the camera sent."""
    rng, target = random.Random(1), next(t for t in TARGETS if t.name == "frame_v1")
    original, survivors = content(target.decode(target.message)), 0
    for _ in range(ROUNDS // 10):
        parts = mutate(rng, target.message)
        value = survive(target, parts)
        if value is not None:
            survivors += 1
            assert content(value) == original, [part.hex() for part in parts]
    assert survivors  # damage to the topic alone does no harm: the comparison was made


def test_every_single_bit_of_a_sealed_frame_counts() -> None:
    """No flipped bit in header, arrays or seal goes unnoticed."""
    message = read("frame_v1")
    for index in range(1, len(message)):
        for bit in range(8 * len(message[index])):
            part = bytearray(message[index])
            part[bit // 8] ^= 1 << bit % 8
            with pytest.raises(RemoteProtocolError):
                decode_frame([*message[:index], part, *message[index + 1 :]])


@pytest.mark.parametrize("name", ["result_v1_fail", "result_v1_lost"])
def test_no_single_bit_turns_a_rejected_part_into_a_pass(name: str) -> None:
    """Whichever bit of a FAIL or a FAULT is flipped, it never reads PASS."""
    message = read(name)
    for bit in range(8 * len(message[1])):
        body = bytearray(message[1])
        body[bit // 8] ^= 1 << bit % 8
        result, _ = outcome(decode_result, [message[0], bytes(body)])
        assert result is None or result.verdict is not Verdict.PASS


def test_damaged_maps_are_never_another_picture() -> None:
    """With checksums, no damage to an array of a map message is shown to anybody."""
    ramp = np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    rgb = np.zeros((224, 224, 3), np.uint8)
    maps = AnomalyMaps(
        "b/1", 1, "b", "s", 1, "p", "r", 0.5, 0.25, Verdict.PASS, ramp, ramp, ramp, rgb, ramp, ramp > 0.5
    )
    message = [bytes(part) for part in encode_maps(named("map"), maps)]
    target = Target("maps", message, decode_maps, lambda value: encode_maps(named("map"), value))
    arrays, rng = content(decode_maps(message))[10:], random.Random(2)
    for _ in range(MAP_ROUNDS):
        value = survive(target, mutate(rng, message))
        assert value is None or content(value)[10:] == arrays


KEYS: Final = sorted(
    {key for t in TARGETS for part in t.message[:2] if part[:4] != b"cmfm" for key in msgpack.unpackb(part)}
)
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(["PASS", "FAIL", "below_threshold", "realtime", "status", "rgb", "<f4", "sRGB", "m"]),
)
VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
MAPS: Final = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12)
HEADERS: Final = st.one_of(
    st.binary(max_size=200), VALUES.map(msgpack.packb), MAPS.map(lambda data: msgpack.packb({"v": 1, **data}))
)
EVERY: Final[list[Callable[[list[bytes]], object]]] = [
    decode_frame,
    decode_result,
    decode_trigger,
    decode_maps,
    decode_camera_state,
    decode_worker_state,
    decode_trigger,
    lambda parts: decode_request(body_of(parts[1:])),
    lambda parts: decode_reply(body_of(parts[1:])),
    lambda parts: parse_topic(body_of(parts)),
]
QUICK: Final = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@QUICK
@given(st.binary(max_size=40), HEADERS, st.lists(st.binary(max_size=40), max_size=7))
def test_arbitrary_messages_are_refused(name: bytes, body: bytes, more: list[bytes]) -> None:
    """Nothing but the protocol's own error comes out of any decoder, whatever goes in."""
    for decode in EVERY:
        for parts in ([name, body, *more], [name, body], [name], []):
            outcome(decode, parts)


@QUICK
@given(st.sampled_from(TARGETS), st.data())
def test_replaced_fields_are_refused_or_legal(target: Target, data: st.DataObject) -> None:
    """A good message with arbitrary values in some of its fields is refused, or is a value we would send."""
    at = 1 if len(target.message) > 1 else 0
    fields = msgpack.unpackb(target.message[at])
    changed = fields | data.draw(st.dictionaries(st.sampled_from(sorted(fields)), VALUES, max_size=3))
    parts = [*target.message[:at], msgpack.packb(changed), *target.message[at + 1 :]]
    survive(target, parts)
