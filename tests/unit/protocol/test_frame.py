"""Frames: read-only views without copies, and the refusal of every kind of wrong frame."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest
from numpy.typing import NDArray

from cmfm_protocol import (
    FrameHeader,
    LocalProtocolError,
    Reason,
    RemoteProtocolError,
    decode_frame,
    encode_frame,
    topic,
)
from cmfm_protocol.wire import limits

TOPIC = topic("line1", "station1", "frame")
RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
XYZ = np.linspace(-1, 1, 4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)

MessageFrames = list[bytes]
Change = Callable[[dict[str, Any]], object]


def message(header: FrameHeader, *, checksums: bool = False) -> MessageFrames:
    return [bytes(frame) for frame in encode_frame(TOPIC, header, RGB, XYZ, checksums=checksums)]


def with_header(frames: MessageFrames, change: Change) -> MessageFrames:
    """The message with its header map changed."""
    data = msgpack.unpackb(frames[1])
    change(data)
    return [frames[0], msgpack.packb(data), *frames[2:]]


def spec(index: int, **values: object) -> Change:
    return lambda data: data["arrays"][index].update(values)


def refused(frames: Any) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_frame(frames)
    return caught.value


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_arrays_are_read_only_views_of_the_message(header: FrameHeader, kind: Any) -> None:
    """Decoded arrays share the message's memory and cannot be written."""
    frames = [kind(frame) for frame in message(header, checksums=True)]
    frame = decode_frame(frames)
    np.testing.assert_array_equal(frame.xyz, XYZ)
    assert np.shares_memory(frame.xyz, np.frombuffer(frames[3], np.uint8))
    assert np.shares_memory(frame.rgb, np.frombuffer(frames[2], np.uint8))
    for array in (frame.rgb, frame.xyz):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1


def test_encoder_sends_views(header: FrameHeader) -> None:
    """The arrays of a frame, megabytes, are not copied to be sent."""
    frames = encode_frame(TOPIC, header, RGB, XYZ)
    assert np.shares_memory(np.frombuffer(frames[3], np.uint8), XYZ)


def test_array_with_gaps_is_sent_whole(header: FrameHeader) -> None:
    """A crop of a larger picture is sent as the pixels it shows."""
    crop_rgb, crop_xyz = RGB[1:3, ::2], XYZ[1:3, ::2]
    frame = decode_frame(encode_frame(TOPIC, header, crop_rgb, crop_xyz))
    np.testing.assert_array_equal(frame.rgb, crop_rgb)
    np.testing.assert_array_equal(frame.xyz, crop_xyz)


def test_unaligned_buffer_is_read(header: FrameHeader) -> None:
    """A message frame that does not start on a multiple of four bytes is read like any other."""
    frames: list[bytes | memoryview] = [*message(header)]
    frames[3] = memoryview(b"x" + frames[3])[1:]
    np.testing.assert_array_equal(decode_frame(frames).xyz, XYZ)


def test_unknown_keys_are_ignored(header: FrameHeader) -> None:
    """A camera may add keys of its own; so may a later minor version."""
    frames = with_header(
        message(header),
        lambda data: data.update(exposure_us=800, lens={"f": 25.0, "raw": b"\x00"}, none=None),
    )
    assert decode_frame(frames).header.seq == 7


MALFORMED_FIELDS: list[tuple[str, object]] = [
    ("stream_uuid", ""),
    ("stream_uuid", b"bytes"),
    ("stream_uuid", "unattributed"),
    ("stream_uuid", "two\nlines"),
    ("stream_uuid", "x" * 257),
    ("seq", -1),
    ("seq", True),
    ("seq", 7.0),
    ("seq", "7"),
    ("seq", None),
    ("seq", 2**53),
    ("part_id", 7),
    ("part_id", "\u00e9" * 129),
    ("part_id", "\u2028"),
    ("trigger_ns", -1),
    ("trigger_ns", 2**63),
    ("trigger_ns", 1e18),
    ("deadline_ms", float("nan")),
    ("deadline_ms", float("inf")),
    ("deadline_ms", -1.0),
    ("deadline_ms", True),
    ("deadline_ms", "100"),
    ("deadline_ms", 86_400_001),
    ("recipe", None),
    ("clock", "utc"),
    ("clock", 0),
    ("encoder", 1.5),
    ("encoder", False),
    ("simulated", 1),
    ("pub_drops", -3),
    ("sealed", 1),
    ("arrays", {}),
    ("arrays", None),
    ("arrays", [1, 2]),
]


@pytest.mark.parametrize(("field", "value"), MALFORMED_FIELDS)
def test_wrong_field_is_malformed_and_named(header: FrameHeader, field: str, value: object) -> None:
    """A field of the wrong type or range is refused by name, and the other fields still say which part it was."""
    error = refused(with_header(message(header), lambda data: data.update({field: value})))
    assert error.reason is Reason.MALFORMED
    assert field in error.detail
    expected = {"stream_uuid": "camera-boot-1", "seq": 7, "part_id": "p7", "trigger_ns": 1_000} | {
        "deadline_ms": 100.0, "clock": "realtime", "recipe": "bagel"
    }  # fmt: skip
    for name, known in expected.items():
        assert getattr(error, name) == (None if name == field else known)


@pytest.mark.parametrize(
    "field", ["stream_uuid", "seq", "part_id", "trigger_ns", "deadline_ms", "recipe", "v"]
)
def test_missing_field_is_malformed(header: FrameHeader, field: str) -> None:
    """A required key that is not there is refused, never guessed."""
    error = refused(with_header(message(header), lambda data: data.pop(field)))
    assert error.reason is Reason.MALFORMED
    assert field in error.detail


ARRAY_FAULTS: list[tuple[Change, Reason]] = [
    (spec(0, dtype="<f4"), Reason.ARRAY_MISMATCH),
    (spec(1, dtype="<f8"), Reason.ARRAY_MISMATCH),
    (spec(1, dtype=">f4"), Reason.ARRAY_MISMATCH),
    (spec(1, dtype="|O"), Reason.ARRAY_MISMATCH),
    (spec(1, unit="mm"), Reason.ARRAY_MISMATCH),
    (spec(1, invalid="none"), Reason.ARRAY_MISMATCH),
    (spec(0, shape=[4, 5]), Reason.ARRAY_MISMATCH),
    (spec(0, shape=[4, 5, 4]), Reason.ARRAY_MISMATCH),
    (spec(0, shape=[0, 5, 3]), Reason.ARRAY_MISMATCH),
    (spec(0, shape=[4, 6, 3]), Reason.ARRAY_MISMATCH),  # nbytes says otherwise
    (spec(0, shape=[4, 5, 1, 3]), Reason.MALFORMED),
    (spec(0, shape=[-4, -5, 3]), Reason.MALFORMED),
    (spec(0, shape=[4, 5.0, 3]), Reason.MALFORMED),
    (spec(0, nbytes=61), Reason.ARRAY_MISMATCH),
    (spec(0, crc32=-1), Reason.MALFORMED),
    (spec(0, crc32=1), Reason.CHECKSUM),
    (spec(0, name="xyz"), Reason.ARRAY_MISMATCH),  # the same name twice
    (spec(0, name="grey"), Reason.ARRAY_MISMATCH),
    (spec(0, shape=[8193, 5, 3]), Reason.OVERSIZE),
    (spec(0, shape=[2**53 - 1, 2**53 - 1, 3]), Reason.OVERSIZE),
    (spec(1, shape=[8192, 8192, 3], nbytes=8192 * 8192 * 12), Reason.OVERSIZE),
    (spec(0, shape=[5, 4, 3]), Reason.SIZE_MISMATCH),
    (lambda data: data["arrays"].reverse(), Reason.ARRAY_MISMATCH),
    (lambda data: data["arrays"].pop(), Reason.ARRAY_MISMATCH),
    (lambda data: data.pop("arrays"), Reason.ARRAY_MISMATCH),
    (lambda data: data["arrays"].append(data["arrays"][0]), Reason.ARRAY_MISMATCH),
    (lambda data: data["arrays"].extend(data["arrays"] * 4), Reason.MALFORMED),  # ten
    (lambda data: data["arrays"][0].pop("nbytes"), Reason.MALFORMED),
]


@pytest.mark.parametrize(("change", "reason"), ARRAY_FAULTS)
def test_wrongly_described_array_is_refused(header: FrameHeader, change: Change, reason: Reason) -> None:
    """An array is what its description says, or the frame is a FAULT that names its part."""
    error = refused(with_header(message(header), change))
    assert error.reason is reason
    assert (error.stream_uuid, error.seq, error.part_id) == ("camera-boot-1", 7, "p7")


def swap(frames: MessageFrames, index: int, frame: Any) -> list[Any]:
    return [*frames[:index], frame, *frames[index + 1 :]]


MESSAGE_FAULTS: list[tuple[Callable[[MessageFrames], Any], Reason]] = [
    (lambda frames: [], Reason.TRUNCATED),
    (lambda frames: frames[:1], Reason.TRUNCATED),
    (lambda frames: frames[:2], Reason.TRUNCATED),
    (lambda frames: frames[:3], Reason.TRUNCATED),
    (lambda frames: swap(frames, 3, frames[3][:-1]), Reason.TRUNCATED),
    (lambda frames: swap(frames, 3, b""), Reason.TRUNCATED),
    (lambda frames: swap(frames, 2, frames[2] + b"\0"), Reason.ARRAY_MISMATCH),
    (lambda frames: [frames[0], frames[1], frames[3], frames[2]], Reason.ARRAY_MISMATCH),
    (lambda frames: [*frames, b"1234"], Reason.CHECKSUM),
    (lambda frames: [*frames, b""], Reason.CHECKSUM),
    (lambda frames: [*frames, b"", b""], Reason.ARRAY_MISMATCH),
    (lambda frames: [*frames, *frames, *frames], Reason.ARRAY_MISMATCH),
    (lambda frames: swap(frames, 1, b""), Reason.MALFORMED),
    (lambda frames: swap(frames, 1, b"\x93\x01\x02\x03"), Reason.MALFORMED),
    (lambda frames: swap(frames, 1, b"not msgpack"), Reason.MALFORMED),
    (lambda frames: swap(frames, 1, frames[1] + b"\xc0"), Reason.MALFORMED),
    (lambda frames: swap(frames, 1, frames[1][:-1]), Reason.MALFORMED),
    (lambda frames: swap(frames, 1, bytes(limits.MAX_HEADER_BYTES + 1)), Reason.OVERSIZE),
    (lambda frames: swap(frames, 3, memoryview(frames[3] * 2)[::2]), Reason.MALFORMED),
    (lambda frames: swap(frames, 3, "text"), Reason.MALFORMED),
    (lambda frames: swap(frames, 3, None), Reason.MALFORMED),
]


@pytest.mark.parametrize(("change", "reason"), MESSAGE_FAULTS)
def test_wrong_message_frames_are_refused(
    header: FrameHeader, change: Callable[[MessageFrames], Any], reason: Reason
) -> None:
    """Missing, short, long, exchanged and additional message frames are told apart."""
    assert refused(change(message(header))).reason is reason


def test_header_cut_short_still_says_which_part(header: FrameHeader) -> None:
    """The FAULT of a damaged frame names stream, number and part if they can be read."""
    frames = message(header)
    error = refused([frames[0], frames[1][:-40], *frames[2:]])
    assert (error.stream_uuid, error.seq, error.part_id) == ("camera-boot-1", 7, "p7")
    assert (error.trigger_ns, error.deadline_ms, error.recipe) == (1_000, 100.0, "bagel")


def test_unknown_major_version_still_says_which_part(header: FrameHeader) -> None:
    """A camera of the next generation gets a FAULT for each of its parts, by name."""
    error = refused(with_header(message(header), lambda data: data.update(v=2, arrays="elsewhere")))
    assert error.reason is Reason.UNKNOWN_VERSION
    assert (error.stream_uuid, error.seq, error.recipe) == ("camera-boot-1", 7, "bagel")


def test_damaged_sealed_header_accuses_nobody(header: FrameHeader) -> None:
    """A header that its seal proves damaged names no part."""
    frames = message(header, checksums=True)
    damaged = frames[1].replace(b"\xa3seq\x07", b"\xa3seq\x06")
    error = refused([frames[0], damaged, *frames[2:]])
    assert error.reason is Reason.CHECKSUM
    assert (error.stream_uuid, error.seq, error.part_id, error.trigger_ns) == (None, None, None, None)


def test_seal_cannot_be_lost(header: FrameHeader) -> None:
    """A header that announces a seal is refused without one."""
    error = refused(message(header, checksums=True)[:4])
    assert error.reason is Reason.TRUNCATED
    assert error.seq == 7


@pytest.mark.parametrize("index", [2, 3])
def test_flipped_bit_in_an_array_is_seen(header: FrameHeader, index: int) -> None:
    """With checksums, one wrong bit in a picture is a FAULT of that very part."""
    frames = message(header, checksums=True)
    data = bytearray(frames[index])
    data[len(data) // 2] ^= 1
    error = refused(swap(frames, index, data))
    assert error.reason is Reason.CHECKSUM
    assert error.seq == 7


def test_detail_is_one_short_printable_line(header: FrameHeader) -> None:
    """The detail of a refusal is one short printable line, whatever the peer sent."""
    evil = "\x1b[31m" + "A" * 60_000
    error = refused(with_header(message(header), lambda data: data.update(clock=evil, part_id=evil)))
    assert error.detail.isprintable()
    assert len(error.detail) < limits.MAX_TEXT_BYTES
    assert error.part_id is None


def double(array: NDArray[np.float32]) -> NDArray[np.float64]:
    return array.astype(np.float64)


BAD_ARRAYS: list[tuple[Any, Any]] = [
    (RGB.astype(np.uint16), XYZ),
    (RGB, double(XYZ)),
    (RGB, XYZ.astype(">f4")),
    (RGB[..., :1], XYZ),
    (RGB[:2], XYZ),
    (RGB[:0], XYZ[:0]),
    (RGB.tolist(), XYZ),
    (RGB, None),
    (np.zeros((8193, 1, 3), np.uint8), np.zeros((8193, 1, 3), np.float32)),
]


@pytest.mark.parametrize(("rgb", "xyz"), BAD_ARRAYS)
def test_encoder_refuses_what_the_wire_forbids(header: FrameHeader, rgb: Any, xyz: Any) -> None:
    """Our own mistakes in arrays are found before anything is sent."""
    with pytest.raises(LocalProtocolError):
        encode_frame(TOPIC, header, rgb, xyz)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": -1},
        {"seq": np.int64(3)},
        {"seq": 2**70},
        {"part_id": "\ud800"},
        {"part_id": "a\tb"},
        {"deadline_ms": float("nan")},
        {"deadline_ms": 10**400},
        {"clock": "gps"},
        {"stream_uuid": ""},
        {"simulated": None},
    ],
)
def test_encoder_refuses_bad_header(header: FrameHeader, change: dict[str, Any]) -> None:
    """Our own mistakes in headers are found before anything is sent."""
    with pytest.raises(LocalProtocolError):
        encode_frame(TOPIC, replace(header, **change), RGB, XYZ)


@pytest.mark.parametrize("name", [b"", b"frame", topic("line1", "station1", "result"), "cmfm/1/l/s/frame/"])
def test_encoder_refuses_another_topic(header: FrameHeader, name: Any) -> None:
    """A frame cannot go out where nobody looks for frames."""
    with pytest.raises(LocalProtocolError):
        encode_frame(name, header, RGB, XYZ)
