"""Every decoder against damaged, random and hostile bytes: it raises RemoteProtocolError or returns a legal value.

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
    MessageFrames,
    Outcome,
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
    """Damage never crashes a decoder, and never yields an illegal value or another sealed frame."""
    rng, original = random.Random(target.name), content(target.decoder.decode(target.message))
    rounds = SLOW_ROUNDS if target in SLOW_TARGETS else ROUNDS // len(TARGETS)
    for round_ in range(rounds):
        frames = mutate(rng, target.message)
        try:
            judge(target, original, frames)
        except BaseException:
            print(f"{target.name}, round {round_}: {[frame.hex() for frame in frames]}")
            raise


def test_damaged_sealed_frame_is_never_another_frame() -> None:
    """With checksums and seal, a frame that survives damage is exactly what the camera sent."""
    rng, target = random.Random(1), next(t for t in TARGETS if t.sealed)
    original, survivors = content(target.decoder.decode(target.message)), 0
    for _ in range(ROUNDS // 10):
        frames = mutate(rng, target.message)
        found = judge(target, original, frames)
        assert found is not Outcome.OTHER, [frame.hex() for frame in frames]
        survivors += found is Outcome.SAME
    assert survivors  # damage to the topic alone does no harm: the comparison was made


def test_every_single_bit_of_a_sealed_frame_counts() -> None:
    """Every flipped bit in header, arrays or seal is refused."""
    message = read("frame_v1")
    for index in range(1, len(message)):
        for bit in range(8 * len(message[index])):
            frame = bytearray(message[index])
            frame[bit // 8] ^= 1 << bit % 8
            with pytest.raises(RemoteProtocolError):
                decode_frame([*message[:index], frame, *message[index + 1 :]])


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
    """With checksums, a damaged array of a map message is never returned."""
    message = [bytes(frame) for frame in encode_maps(named("map"), made_maps())]
    decoder, rng = DECODERS["map"], random.Random(2)
    arrays = content(decoder.decode(message))[10:]
    for _ in range(SLOW_ROUNDS):
        value = survive(decoder, mutate(rng, message))
        assert value is None or content(value)[10:] == arrays


KEYS: Final = sorted(
    {
        key
        for t in TARGETS
        for frame in t.message[:2]
        if frame[:4] != b"cmfm"
        for key in msgpack.unpackb(frame)
    }
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
EVERY: Final[list[tuple[Decoder, Callable[[MessageFrames], MessageFrames]]]] = [
    (decoder, (lambda frames: frames[1:]) if name in ("request", "reply") else (lambda frames: frames))
    for name, decoder in DECODERS.items()
    if name not in ("png", "tiff")
]
QUICK: Final = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@QUICK
@given(st.binary(max_size=40), HEADERS, st.lists(st.binary(max_size=40), max_size=7))
def test_arbitrary_messages_are_refused(name: bytes, body: bytes, more: list[bytes]) -> None:
    """Every decoder raises only the protocol's own error, whatever it is given."""
    for decoder, reach in EVERY:
        for frames in ([name, body, *more], [name, body], [name], []):
            outcome(decoder, reach(frames))


@QUICK
@given(st.sampled_from(TARGETS), st.data())
def test_replaced_fields_are_refused_or_legal(target: Target, data: st.DataObject) -> None:
    """A good message with arbitrary values in some of its fields is refused, or is a value we would send."""
    at = 1 if len(target.message) > 1 else 0
    fields = msgpack.unpackb(target.message[at])
    changed = fields | data.draw(st.dictionaries(st.sampled_from(sorted(fields)), VALUES, max_size=3))
    frames = [*target.message[:at], msgpack.packb(changed), *target.message[at + 1 :]]
    survive(target.decoder, frames)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=lambda decoder: decoder.name)
def test_stored_corpus_is_refused_or_legal(decoder: Decoder) -> None:
    """Each message that once reached new code under a fuzzer, or was once a finding, is refused or legal."""
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
    """A good message survives its way through a fuzzer's file, so the fuzzer starts behind the first checks."""
    frames = message_of(target.decoder, seed_of(target.decoder, target.message))
    assert survive(target.decoder, frames) is not None
    if target.name != "map":
        assert frames == target.message


def test_a_chunk_of_the_long_run_finds_nothing_and_can_be_run_again() -> None:
    """The same seed and chunk make the same mutations, so a finding can be repeated."""
    first, again = (run_chunk(5, 3, 400) for _ in range(2))
    assert first.findings == []
    assert first.mutations == 400
    assert first.outcomes == again.outcomes


def test_what_a_decoder_must_not_do_is_a_finding() -> None:
    """A foreign error, a value that we would not send, and a damaged frame accepted as sealed are findings."""

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
