"""Messages as single files, for a fuzzer that knows only bytes: parts with a mark between them.

Parts of a map message that are left out stand for arrays of zeros: a megabyte that no fuzzer needs to look at.
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


def join(parts: Sequence[bytes]) -> bytes:
    """The file of a message."""
    return MARK.join(parts)


def split(data: bytes) -> list[bytes]:
    """The parts in a file; any bytes are some message."""
    return data.split(MARK)


def message_of(decoder: Decoder, data: bytes) -> list[bytes]:
    """The message that a file of this decoder's corpus stands for."""
    if decoder.name in ("png", "tiff"):  # a file of its own, in which the mark means nothing
        return [data]
    parts = split(data)
    if decoder.name == "map":
        parts += zero_arrays()[len(parts) - 2 :] if len(parts) >= 2 else []
    return parts


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
