"""Targets of fuzzing: every decoder with its encoder and good messages to start from, and the rules for its results.

A decoder may raise its one error, or return a value that we would send ourselves and that arrives unchanged. Anything
else is a finding.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np

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
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.picture_files import read_png, read_tiff

VECTORS: Final = Path(__file__).parents[1] / "vectors"

MessageFrames = list[bytes]
Decode = Callable[[Sequence[bytes]], Any]
Encode = Callable[[Any], Sequence[bytes | memoryview]]


class FindingError(Exception):
    """A finding: a crash of another kind, an illegal value, or damage accepted as the original."""


class Outcome(Enum):
    """The outcome of decoding a message."""

    REFUSED = "refused"
    SAME = "same content"
    OTHER = "other content"


@dataclass(frozen=True)
class Decoder:
    """A decoder, its encoder (None: there is none) and the one error it may raise."""

    name: str
    decode: Decode
    encode: Encode | None
    error: type[Exception] = RemoteProtocolError


@dataclass(frozen=True)
class Target:
    """A good message for a decoder."""

    name: str
    decoder: Decoder
    message: MessageFrames

    @property
    def sealed(self) -> bool:
        """True if checksums tell any damage from the original."""
        return self.name in ("frame_v1", "trigger_v1")


def named(kind: str) -> bytes:
    """The topic of our test line."""
    return topic("line1", "station1", kind)


def read(name: str) -> MessageFrames:
    """A golden message."""
    return [
        bytes.fromhex(line) for line in (VECTORS / f"{name}.hex").read_text(encoding="ascii").splitlines()
    ]


def body_of(frames: Sequence[bytes]) -> bytes:
    """The map of a message that has no topic."""
    return frames[0] if frames else b""


def _send_again(frame: Frame) -> Sequence[bytes | memoryview]:
    checksums = frame.sealed
    return encode_frame(named("frame"), frame.header, frame.rgb, frame.xyz, checksums=checksums)


def _from_file(reader: Callable[[Path], Any], suffix: str) -> Decode:
    """A reader of files as a decoder of bytes."""

    def decode(frames: Sequence[bytes]) -> Any:
        with tempfile.NamedTemporaryFile(suffix=suffix, dir=_memory_folder()) as file:
            file.write(body_of(frames))
            file.flush()
            return reader(Path(file.name))

    return decode


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 (no disk is to be worn out by a fuzzer)


DECODERS: Final = {
    decoder.name: decoder
    for decoder in (
        Decoder("frame", decode_frame, _send_again),
        Decoder("result", decode_result, lambda value: encode_result(named("result"), value)),
        Decoder(
            "trigger",
            decode_trigger,
            lambda value: encode_trigger(named("trigger"), value, checksums=value.sealed),
        ),
        Decoder(
            "camera_state", decode_camera_state, lambda value: encode_camera_state(named("state"), value)
        ),
        Decoder(
            "worker_state", decode_worker_state, lambda value: encode_worker_state(named("state"), value)
        ),
        Decoder("request", lambda frames: decode_request(body_of(frames)), lambda v: [encode_request(v)]),
        Decoder("reply", lambda frames: decode_reply(body_of(frames)), lambda v: [encode_reply(v)]),
        Decoder("map", decode_maps, lambda value: encode_maps(named("map"), value)),
        Decoder(
            "topic",
            lambda frames: parse_topic(body_of(frames)),
            lambda value: [topic(value.line, value.station, value.kind)],
        ),
        Decoder("png", _from_file(read_png, ".png"), None, DatasetError),
        Decoder("tiff", _from_file(read_tiff, ".tiff"), None, DatasetError),
    )
}


def content(value: Any) -> Any:
    """The content of a decoded value in a form that can be compared, also with NaN."""
    if isinstance(value, Frame):
        header = replace(value.header, arrays=())
        return header, value.rgb.shape, value.rgb.tobytes(), value.xyz.shape, value.xyz.tobytes()
    if isinstance(value, AnomalyMaps):
        values = [getattr(value, field.name) for field in fields(AnomalyMaps)]
        return [(one.shape, one.tobytes()) if isinstance(one, np.ndarray) else one for one in values]
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    return value


def outcome(decoder: Decoder, frames: Sequence[bytes]) -> tuple[Any, Exception | None]:
    """The value or the refusal; a refusal can be printed in a log, whatever was refused. Raises FindingError."""
    try:
        return decoder.decode(frames), None
    except decoder.error as error:
        refusal = error
    except Exception as error:
        raise FindingError(f"{decoder.name} raised {type(error).__name__}: {error}") from error
    if isinstance(refusal, RemoteProtocolError) and not refusal.detail.isprintable():
        raise FindingError(f"{decoder.name} refused with a detail that cannot be printed: {refusal.detail!r}")
    return None, refusal


def survive(decoder: Decoder, frames: Sequence[bytes]) -> Any:
    """The value, None if it was refused. Raises FindingError if it cannot be sent again and arrive unchanged."""
    value, refusal = outcome(decoder, frames)
    if refusal is not None:
        return None
    if decoder.encode is not None:
        try:
            sent = [bytes(frame) for frame in decoder.encode(value)]
            arrived = content(decoder.decode(sent))
        except Exception as error:
            raise FindingError(f"{decoder.name} accepted what we cannot send ({error}): {value!r}") from error
        if arrived != content(value):
            raise FindingError(f"{decoder.name} accepted what does not arrive unchanged: {value!r}")
    return value


def judge(target: Target, original: Any, frames: Sequence[bytes]) -> Outcome:
    """The outcome of a damaged message of `target`, whose undamaged `content` is `original`.

    Raises FindingError, also if a message that counts as sealed differs from the one that was sealed.
    """
    value = survive(target.decoder, frames)
    if value is None:
        return Outcome.REFUSED
    if content(value) == original:
        return Outcome.SAME
    if target.sealed and value.sealed:
        raise FindingError(f"damage of a sealed message was accepted: {getattr(value, 'header', value)!r}")
    return Outcome.OTHER


def golden_targets() -> list[Target]:
    """The golden messages with their decoders."""
    names = sorted(path.stem for path in VECTORS.glob("*.hex"))
    return [
        Target(name, decoder, read(name))
        for name in names
        for decoder in DECODERS.values()
        if name.startswith(decoder.name)
    ]


def made_targets() -> list[Target]:
    """Good messages for the decoders that have no golden one: a map message, a topic, a PNG and a TIFF."""
    return [
        Target("map", DECODERS["map"], [bytes(frame) for frame in encode_maps(named("map"), made_maps())]),
        Target("topic", DECODERS["topic"], [named("frame")]),
        Target("png", DECODERS["png"], [made_png()]),
        Target("tiff", DECODERS["tiff"], [made_tiff()]),
    ]


def made_maps() -> AnomalyMaps:
    """A ramp in all maps."""
    ramp = np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    rgb = np.zeros((224, 224, 3), np.uint8)
    return AnomalyMaps(
        "b/1", 1, "b", "s", 1, "p", "r", 0.5, 0.25, Verdict.PASS, ramp, ramp, ramp, rgb, ramp, ramp > 0.5
    )


def made_png() -> bytes:
    """A small picture as `cmfm-sim make` writes it."""
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)).save(file, "PNG")
    return file.getvalue()


def made_tiff() -> bytes:
    """Small points as `cmfm-sim make` writes them."""
    from io import BytesIO

    import tifffile

    file = BytesIO()
    xyz = np.linspace(-1, 1, 8 * 8 * 3, dtype=np.float32).reshape(8, 8, 3)
    tifffile.imwrite(file, xyz, photometric="rgb", compression="zlib")
    return file.getvalue()
