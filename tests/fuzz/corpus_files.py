"""Messages as single files, for a fuzzer that knows only bytes: message frames with a mark between them.

Message frames that a map message lacks stand for arrays of zeros: a megabyte that no fuzzer needs to change.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from cmfm_protocol import encode_maps

from .targets import Decoder, made_maps, named

CORPUS: Final = Path(__file__).parent / "corpus"
MARK: Final = b"\n\xff-part-\xff\n"
MAP_ARRAYS: Final = 6


def join(frames: Sequence[bytes]) -> bytes:
    """The file of a message."""
    return MARK.join(frames)


def split(data: bytes) -> list[bytes]:
    """The message frames in a file; any bytes are some message."""
    return data.split(MARK)


def message_of(decoder: Decoder, data: bytes) -> list[bytes]:
    """The message that a file of this decoder's corpus stands for."""
    if decoder.name in ("png", "tiff"):  # a single file, in which the mark has no meaning
        return [data]
    frames = split(data)
    if decoder.name == "map":
        frames += zero_arrays()[len(frames) - 2 :] if len(frames) >= 2 else []
    return frames


def zero_arrays() -> list[bytes]:
    """The six arrays of a map message, all zero."""
    if not _ZEROS:
        maps = made_maps()
        arrays = (maps.psi, maps.psi_2d, maps.psi_3d, maps.rgb, maps.depth, maps.foreground)
        _ZEROS.extend(np.zeros_like(array).tobytes() for array in arrays)
    return _ZEROS


_ZEROS: Final[list[bytes]] = []


def seed_of(decoder: Decoder, message: Sequence[bytes]) -> bytes:
    """A good message as a file; of a map message only topic and header, without the checksums of its arrays."""
    if decoder.name != "map":
        return join(message)
    topic, header, *_ = encode_maps(named("map"), made_maps(), checksums=False)
    return join([bytes(topic), bytes(header)])
