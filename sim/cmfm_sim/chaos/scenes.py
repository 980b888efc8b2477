"""Scenes of a rough camera: identities that a camera must not have, each with the results that are expected.

A scene is a list of steps, drawn from a seed. It knows nothing of sockets, times or pictures; `rough_camera` plays it,
`rough_account` compares the results with it. A camera that does none of this is disturbed by none of it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

Rng = np.random.Generator

MAX_GAP: Final = 1000
"""`intake.max_gap` of the line, its default: what a stream remembers and which jumps are doubted follow from it."""

FILLERS: Final = 2 * MAX_GAP + 64 + 40
"""Frames after which the first of them is no longer remembered by what it was used for."""

HEARTBEATS_AHEAD: Final = 900
FRAME_AHEAD: Final = 500


class Expect(StrEnum):
    """The result that a part must have."""

    INSPECTED = "inspected"
    FAULT = "fault"
    ONE = "one"  # exactly one, whatever it says


@dataclass(frozen=True, slots=True)
class Part:
    """A part and its frame. `picture` chooses the pixels, `endpoint` the first or second of the camera.

    `filler`: a tiny frame that asks for a recipe that does not exist, so its FAULT costs nothing. `reasons` are those
    that a FAULT may have. `miscounted`: the number is wrong in this frame alone, and heartbeats count on as before.
    """

    seq: int
    picture: int
    expect: Expect = Expect.INSPECTED
    reasons: tuple[str, ...] = ()
    endpoint: int = 0
    filler: bool = False
    miscounted: bool = False


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Part `place` of the scene is sent again, with other pixels if `picture` is given."""

    place: int
    picture: int | None = None
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat that counts `ahead` more numbers than were sent."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Restart:
    """The camera vanishes and starts again with the stream_uuid of before, counting from 0."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Numbers from `first` to before `until` that the camera leaves out. `surely`: each must have its FAULT.

    Otherwise they may have one, or no result.
    """

    first: int
    until: int
    surely: bool = True


@dataclass(frozen=True, slots=True)
class Logged:
    """An error line that the worker must write about the scene's stream."""

    event: str


Step = Part | SendAgain | Beat | Restart | PassedOver | Logged


def jump(rng: Rng) -> Iterator[Step]:
    """The counter leaps by tens of thousands and goes on there (believed when the next number confirms it)."""
    leap = int(rng.integers(20_000, 30_000))
    yield from (Part(seq, seq) for seq in range(5))
    yield PassedOver(5, 5 + leap)
    yield Part(5 + leap, 5, Expect.FAULT, ("malformed",))
    yield from (Part(5 + leap + k, 5 + k) for k in range(1, 11))


def repeat(rng: Rng) -> Iterator[Step]:
    """The same bytes under a new number, once or more."""
    times = int(rng.integers(1, 4))
    yield from (Part(seq, seq) for seq in range(4))
    yield from (Part(4 + k, 3, Expect.FAULT, ("repeated_frame",)) for k in range(times))
    yield from (Part(4 + times + k, 4 + k) for k in range(4))


def changed(rng: Rng) -> Iterator[Step]:
    """The same part again with other pixels: at once, and when its verdict is out."""
    yield from (Part(seq, seq) for seq in range(3))
    yield Part(3, 3, Expect.ONE, ("malformed",))
    yield SendAgain(3, picture=4)
    yield from (Part(seq, seq + 2) for seq in range(4, 7))
    yield SendAgain(int(rng.integers(0, 3)), picture=12, after_s=1.5)
    yield from (
        Part(seq, seq + 3) for seq in range(7, 9)
    )  # no picture comes twice, also not one that was refused
    yield Logged("contradiction_after_verdict")


def reboot(rng: Rng) -> Iterator[Step]:
    """A camera that keeps its stream_uuid over a reboot."""
    before = int(rng.integers(4, 9))
    yield from (Part(seq, seq) for seq in range(before))
    yield Restart()
    yield from (Part(seq, seq + 1, Expect.FAULT, ("malformed",)) for seq in range(before))
    yield from (Part(seq, seq + 1) for seq in range(before, before + 4))
    yield Logged("stream_uuid_reused")


def twin(rng: Rng) -> Iterator[Step]:
    """Two cameras with one stream_uuid, on two endpoints."""
    lead = int(rng.integers(2, 5))
    yield from (Part(seq, seq) for seq in range(lead))
    for seq in range(8):
        yield Part(seq, seq + 3, Expect.FAULT, ("malformed",), endpoint=1)
        yield Part(lead + seq, lead + seq)
    yield Logged("stream_uuid_reused")


def old(rng: Rng) -> Iterator[Step]:
    """Two frames sent again, in order, from farther back than the worker remembers."""
    yield from _fillers(0, FILLERS)
    yield from (Part(FILLERS + k, k) for k in range(3))
    first = int(rng.integers(0, 20))
    yield from (SendAgain(first), SendAgain(first + 1))
    yield from (Part(FILLERS + k, k) for k in range(3, 9))


def wrap(rng: Rng) -> Iterator[Step]:
    """A counter of 8 bits that comes round, or one of 16 bits that the worker has heard from the middle on."""
    if rng.random() < 0.5:
        yield from _fillers(0, 250)
        yield from (Part(seq, seq) for seq in range(250, 256))
        yield from (Part(seq, seq + 1, Expect.FAULT, ("malformed",)) for seq in range(6))
    else:
        yield from _fillers(65_500, 65_530)
        yield from (Part(seq, seq) for seq in range(65_530, 65_536))
        yield from (Part(seq, seq + 1, Expect.FAULT, ("malformed",)) for seq in range(2))
        yield from (Part(seq, seq + 1) for seq in range(2, 6))
    yield Logged("seq_wrapped")


def ahead(rng: Rng) -> Iterator[Step]:
    """One frame with a number that is 500 too high."""
    n = int(rng.integers(3, 6))
    yield from (Part(seq, seq) for seq in range(n))
    yield PassedOver(n, n + 1)
    yield Part(n + FRAME_AHEAD, n, miscounted=True)
    yield from (Part(seq, seq) for seq in range(n + 1, n + 10))


def wild(rng: Rng) -> Iterator[Step]:
    """One frame with a number that a flipped bit would make, far beyond `max_gap`. It stands for the one left out."""
    n = int(rng.integers(3, 6))
    yield from (Part(seq, seq) for seq in range(n))
    yield PassedOver(n, n + 1)
    yield Part(n + (1 << int(rng.integers(12, 40))), n, Expect.FAULT, ("malformed",), miscounted=True)
    yield from (Part(seq, seq) for seq in range(n + 1, n + 10))


def beat(rng: Rng) -> Iterator[Step]:
    """One heartbeat that counts 900 numbers too many."""
    n = int(rng.integers(3, 6))
    yield from (Part(seq, seq) for seq in range(n))
    yield Beat(HEARTBEATS_AHEAD)
    yield from (Part(seq, seq) for seq in range(n, n + 10))


def _fillers(first: int, until: int) -> Iterator[Part]:
    return (Part(n, n, Expect.FAULT, ("unknown_recipe",), filler=True) for n in range(first, until))


SCENES: Final[Mapping[str, Callable[[Rng], Iterator[Step]]]] = {
    "jump": jump,
    "repeat": repeat,
    "changed": changed,
    "reboot": reboot,
    "twin": twin,
    "old": old,
    "wrap": wrap,
    "ahead": ahead,
    "wild": wild,
    "beat": beat,
}
"""The scenes by name."""


def scene(name: str, seed: int) -> list[Step]:
    """The steps of a scene."""
    return list(SCENES[name](np.random.default_rng(seed)))
