"""Seeded damage to messages: to bytes of a message frame, to the list of frames, and to numbers in maps."""

import random
from collections.abc import Callable, Sequence
from typing import Final

import msgpack

MessageFrames = list[bytes]


def flip(rng: random.Random, frame: bytearray) -> None:
    """Flip one bit."""
    frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, frame: bytearray) -> None:
    """Overwrite one byte with a type of msgpack."""
    frame[rng.randrange(len(frame))] = rng.choice(
        (0x00, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xCB, 0xD6, 0xDF, 0xFF)
    )


def cut(rng: random.Random, frame: bytearray) -> None:
    """Cut off the end."""
    del frame[rng.randrange(len(frame)) :]


def delete(rng: random.Random, frame: bytearray) -> None:
    """Delete a few bytes."""
    at = rng.randrange(len(frame))
    del frame[at : at + rng.randint(1, 8)]


def insert(rng: random.Random, frame: bytearray) -> None:
    """Insert a few random bytes."""
    at = rng.randrange(len(frame) + 1)
    frame[at:at] = rng.randbytes(rng.randint(1, 8))


def repeat(rng: random.Random, frame: bytearray) -> None:
    """Repeat some bytes."""
    at, size = rng.randrange(len(frame)), rng.randint(1, 32)
    frame[at:at] = frame[at : at + size]


def number(rng: random.Random, frame: bytearray) -> None:
    """Write a number at the edge of what is legal."""
    at = rng.randrange(len(frame))
    frame[at : at + 9] = msgpack.packb(rng.choice((-1, 2**53, 2**63, 2**64 - 1, float("nan"), 1e308)))


BYTE_MUTATIONS: Final[tuple[Callable[[random.Random, bytearray], None], ...]] = (
    flip,
    flip,
    overwrite,
    cut,
    delete,
    insert,
    repeat,
    number,
)


def shuffle_frames(rng: random.Random, frames: Sequence[bytes]) -> MessageFrames:
    """Drop a message frame, repeat one, exchange two, or add one."""
    at, other = rng.randrange(len(frames)), rng.randrange(len(frames))
    changed = list(frames)
    match rng.randrange(4):
        case 0:
            del changed[at]
        case 1:
            changed.insert(at, frames[other])
        case 2:
            changed[at], changed[other] = frames[other], frames[at]
        case _:
            changed.append(rng.randbytes(rng.randrange(6)))
    return changed


def mutate(rng: random.Random, message: Sequence[bytes]) -> MessageFrames:
    """Apply one to four mutations, of bytes in message frames or of the list of frames."""
    frames = list(message)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not frames or rng.random() < 0.1:
            frames = shuffle_frames(rng, frames or message)
            continue
        at = rng.randrange(len(frames))
        if frames[at]:
            frame = bytearray(frames[at])
            rng.choice(BYTE_MUTATIONS)(rng, frame)
            frames[at] = bytes(frame)
    return frames
