"""Seeded damage to messages: bytes of a part, the parts themselves, and numbers where other numbers stood."""

import random
from collections.abc import Callable, Sequence
from typing import Final

import msgpack

Parts = list[bytes]


def flip(rng: random.Random, part: bytearray) -> None:
    """One bit."""
    part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, part: bytearray) -> None:
    """One byte, with a type of msgpack."""
    part[rng.randrange(len(part))] = rng.choice(
        (0x00, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xCB, 0xD6, 0xDF, 0xFF)
    )


def cut(rng: random.Random, part: bytearray) -> None:
    """The end of the part."""
    del part[rng.randrange(len(part)) :]


def delete(rng: random.Random, part: bytearray) -> None:
    """A few bytes."""
    at = rng.randrange(len(part))
    del part[at : at + rng.randint(1, 8)]


def insert(rng: random.Random, part: bytearray) -> None:
    """A few random bytes."""
    at = rng.randrange(len(part) + 1)
    part[at:at] = rng.randbytes(rng.randint(1, 8))


def repeat(rng: random.Random, part: bytearray) -> None:
    """Some bytes twice."""
    at, size = rng.randrange(len(part)), rng.randint(1, 32)
    part[at:at] = part[at : at + size]


def number(rng: random.Random, part: bytearray) -> None:
    """A number at the edge of what is legal."""
    at = rng.randrange(len(part))
    part[at : at + 9] = msgpack.packb(rng.choice((-1, 2**53, 2**63, 2**64 - 1, float("nan"), 1e308)))


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


def shuffle_parts(rng: random.Random, parts: Sequence[bytes]) -> Parts:
    """A part less, a part twice, two exchanged, or one more."""
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


def mutate(rng: random.Random, message: Sequence[bytes]) -> Parts:
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
