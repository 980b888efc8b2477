"""Every decoder against damaged, random and hostile bytes: RemoteProtocolError or a value we would send ourselves.

CMFM_FUZZ_ROUNDS sets the length of the seeded loop (default 100 000 in all); a failure prints seed and message.
"""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmfm_protocol import RemoteProtocolError, Verdict, decode_frame, encode_maps

from .corpus_files import CORPUS, message_of, seed_of
from .long_mutations import run_chunk
from .mutations import mutate
from .targets import (
    DECODERS,
    Decoder,
    FindingError,
    Outcome,
    Parts,
    Target,
    content,
    golden_targets,
    judge,
    made_maps,
    made_targets,
    named,
    outcome,
    read,
    survive,
)

ROUNDS: Final = int(os.environ.get("CMFM_FUZZ_ROUNDS", "100000"))
SLOW_ROUNDS: Final = ROUNDS // 200  # a map message is a megabyte, a picture is read from a file

TARGETS: Final = golden_targets()
SLOW_TARGETS: Final = made_targets()


@pytest.mark.parametrize("target", TARGETS + SLOW_TARGETS, ids=lambda target: target.name)
def test_mutations_are_refused_or_legal(target: Target) -> None:
    """Damage never brings down a decoder and never gets an illegal value, or another sealed frame, through."""
    rng, original = random.Random(target.name), content(target.decoder.decode(target.message))
    rounds = SLOW_ROUNDS if target in SLOW_TARGETS else ROUNDS // len(TARGETS)
    for round_ in range(rounds):
        parts = mutate(rng, target.message)
        try:
            judge(target, original, parts)
        except BaseException:
            print(f"{target.name}, round {round_}: {[part.hex() for part in parts]}")
            raise


def test_damaged_sealed_frame_is_never_another_frame() -> None:
    """With checksums and seal, whatever survives damage is exactly what the camera sent."""
    rng, target = random.Random(1), next(t for t in TARGETS if t.sealed)
    original, survivors = content(target.decoder.decode(target.message)), 0
    for _ in range(ROUNDS // 10):
        parts = mutate(rng, target.message)
        found = judge(target, original, parts)
        assert found is not Outcome.OTHER, [part.hex() for part in parts]
        survivors += found is Outcome.SAME
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
        result, _ = outcome(DECODERS["result"], [message[0], bytes(body)])
        assert result is None or result.verdict is not Verdict.PASS


def test_damaged_maps_are_never_another_picture() -> None:
    """With checksums, no damage to an array of a map message is shown to anybody."""
    message = [bytes(part) for part in encode_maps(named("map"), made_maps())]
    decoder, rng = DECODERS["map"], random.Random(2)
    arrays = content(decoder.decode(message))[10:]
    for _ in range(SLOW_ROUNDS):
        value = survive(decoder, mutate(rng, message))
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
EVERY: Final[list[tuple[Decoder, Callable[[Parts], Parts]]]] = [
    (decoder, (lambda parts: parts[1:]) if name in ("request", "reply") else (lambda parts: parts))
    for name, decoder in DECODERS.items()
    if name not in ("png", "tiff")
]
QUICK: Final = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@QUICK
@given(st.binary(max_size=40), HEADERS, st.lists(st.binary(max_size=40), max_size=7))
def test_arbitrary_messages_are_refused(name: bytes, body: bytes, more: list[bytes]) -> None:
    """Nothing but the protocol's own error comes out of any decoder, whatever goes in."""
    for decoder, reach in EVERY:
        for parts in ([name, body, *more], [name, body], [name], []):
            outcome(decoder, reach(parts))


@QUICK
@given(st.sampled_from(TARGETS), st.data())
def test_replaced_fields_are_refused_or_legal(target: Target, data: st.DataObject) -> None:
    """A good message with arbitrary values in some of its fields is refused, or is a value we would send."""
    at = 1 if len(target.message) > 1 else 0
    fields = msgpack.unpackb(target.message[at])
    changed = fields | data.draw(st.dictionaries(st.sampled_from(sorted(fields)), VALUES, max_size=3))
    parts = [*target.message[:at], msgpack.packb(changed), *target.message[at + 1 :]]
    survive(target.decoder, parts)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=lambda decoder: decoder.name)
def test_stored_corpus_is_refused_or_legal(decoder: Decoder) -> None:
    """Each message by which a fuzzer once reached something new, and each that was once a finding."""
    files = sorted((CORPUS / decoder.name).iterdir())
    assert files
    for file in files:
        try:
            survive(decoder, message_of(decoder, file.read_bytes()))
        except BaseException:
            print(file)
            raise


@pytest.mark.parametrize("target", TARGETS + SLOW_TARGETS, ids=lambda target: target.name)
def test_corpus_files_stand_for_their_messages(target: Target) -> None:
    """A good message in a fuzzer's file is that message again: the fuzzer starts behind the first checks."""
    parts = message_of(target.decoder, seed_of(target.decoder, target.message))
    assert survive(target.decoder, parts) is not None
    if target.name != "map":
        assert parts == target.message


def test_a_chunk_of_the_long_run_finds_nothing_and_can_be_run_again() -> None:
    """A finding is named by its chunk: the same seed and chunk make the same mutations."""
    first, again = (run_chunk(5, 3, 400) for _ in range(2))
    assert first.findings == []
    assert first.mutations == 400
    assert first.outcomes == again.outcomes


def test_what_a_decoder_must_not_do_is_a_finding() -> None:
    """Another error than its own, a value that we would not send, and a damaged frame taken for a sealed one."""

    def crash(_: object) -> Any:
        raise KeyError("seq")

    frame = next(target for target in TARGETS if target.sealed)
    with pytest.raises(FindingError, match="KeyError"):
        survive(replace(frame.decoder, decode=crash), frame.message)
    with pytest.raises(FindingError, match="cannot send"):
        survive(replace(frame.decoder, encode=crash), frame.message)
    other = content(decode_frame(read("frame_v1_bare")))
    with pytest.raises(FindingError, match="sealed"):
        judge(frame, other, frame.message)
