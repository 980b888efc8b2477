"""Anomaly maps over the wire."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import msgpack
import numpy as np
import pytest

from cmfm_protocol import (
    AnomalyMaps,
    LocalProtocolError,
    Reason,
    RemoteProtocolError,
    decode_maps,
    encode_maps,
    topic,
)

TOPIC = topic("line1", "station1", "map")


def message(maps: AnomalyMaps, *, checksums: bool = True) -> list[bytes]:
    return [bytes(frame) for frame in encode_maps(TOPIC, maps, checksums=checksums)]


def with_header(frames: list[bytes], change: Callable[[dict[str, Any]], object]) -> list[bytes]:
    data = msgpack.unpackb(frames[1])
    change(data)
    return [frames[0], msgpack.packb(data), *frames[2:]]


@pytest.mark.parametrize("checksums", [True, False])
def test_maps_arrive_as_they_were(maps: AnomalyMaps, checksums: bool) -> None:
    """Every array and every field, half and single precision alike, read-only."""
    arrived = decode_maps(message(maps, checksums=checksums))
    for field in fields(AnomalyMaps):
        sent, got = getattr(maps, field.name), getattr(arrived, field.name)
        if isinstance(sent, np.ndarray):
            assert got.dtype == sent.dtype
            assert not got.flags.writeable
            np.testing.assert_array_equal(got, sent)
        else:
            assert got == sent


def header_change(change: Callable[[dict[str, Any]], object]) -> Callable[[list[bytes]], Any]:
    return lambda frames: with_header(frames, change)


FAULTS: list[tuple[Callable[[list[bytes]], Any], Reason]] = [
    (lambda frames: frames[:1], Reason.TRUNCATED),
    (lambda frames: frames[:7], Reason.TRUNCATED),
    (lambda frames: [*frames, b""], Reason.ARRAY_MISMATCH),
    (lambda frames: [*frames[:7], b"\x02" * 224 * 224], Reason.CHECKSUM),
    (lambda frames: [*frames[:7], frames[7][:-1]], Reason.TRUNCATED),
    (header_change(lambda data: data.update(v=3)), Reason.UNKNOWN_VERSION),
    (header_change(lambda data: data.update(map_ref="")), Reason.MALFORMED),
    (header_change(lambda data: data.update(verdict="GOOD")), Reason.MALFORMED),
    (
        lambda frames: with_header(frames, lambda data: data["arrays"][0].update(dtype="<f8")),
        Reason.ARRAY_MISMATCH,
    ),
    (
        lambda frames: with_header(frames, lambda data: data["arrays"][4].update(unit="mm")),
        Reason.ARRAY_MISMATCH,
    ),
    (
        lambda frames: with_header(frames, lambda data: data["arrays"][3].update(shape=[448, 112, 3])),
        Reason.ARRAY_MISMATCH,
    ),
]


@pytest.mark.parametrize(("change", "reason"), FAULTS)
def test_wrong_maps_are_refused(
    maps: AnomalyMaps, change: Callable[[list[bytes]], Any], reason: Reason
) -> None:
    """Maps that are damaged, incomplete or wrongly described are refused, each with its reason."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode_maps(change(message(maps)))
    assert caught.value.reason is reason


def test_foreground_is_yes_or_no(maps: AnomalyMaps) -> None:
    """Without checksums a byte that is neither 0 nor 1 is refused, not shown as true."""
    frames = message(maps, checksums=False)
    with pytest.raises(RemoteProtocolError, match="foreground"):
        decode_maps([*frames[:7], b"\x02" + frames[7][1:]])


@pytest.mark.parametrize(
    "change",
    [
        {"psi": np.zeros((224, 224))},
        {"psi": np.zeros((223, 224), np.float32)},
        {"foreground": np.zeros((224, 224), np.uint8)},
        {"foreground": None},
        {"depth": np.zeros((224, 224), np.float16)},
        {"map_ref": ""},
        {"score": float("nan")},
    ],
)
def test_encoder_refuses_what_the_wire_forbids(maps: AnomalyMaps, change: dict[str, Any]) -> None:
    """Our own mistakes are found before anything is sent."""
    with pytest.raises(LocalProtocolError):
        encode_maps(TOPIC, replace(maps, **change))
