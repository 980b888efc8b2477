"""The ring: frames come out whole and in order, and slots are used again only when they are free."""

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.messages import LineRecipe, Trigger, TriggerKey

MODEL = cast("LineRecipe", SimpleNamespace(sha="m"))


def trigger(seq: int, deadline_ns: int = 100) -> Trigger:
    return Trigger(TriggerKey("a", seq), f"p{seq}", "r", "", 0, 0, deadline_ns, simulated=True)


def frame(value: int, height: int = 4, width: int = 5) -> Frame:
    header = FrameHeader("a", value, f"p{value}", 0, 100.0, "r")
    rgb = np.full((height, width, 3), value, np.uint8)
    return Frame(header, rgb, np.full((height, width, 3), value / 2, np.float32))


def filled(ring: Ring, seq: int, deadline_ns: int = 100, **size: Any) -> int:
    slot = ring.claim()
    assert slot is not None
    ring.fill(slot, frame(seq, **size), trigger(seq, deadline_ns), MODEL, now_ns=0)
    return slot


def test_frames_come_out_in_order_and_intact() -> None:
    """Frames are taken oldest first, with every byte in its place."""
    ring = Ring(slots=3, max_pixels=100, pinned=False)
    for seq in range(3):
        filled(ring, seq, height=4 + seq, width=7)
    for seq in range(3):
        taken = ring.take(timeout_s=0)
        assert taken is not None
        assert taken.rgb.shape == (4 + seq, 7, 3)
        assert (taken.rgb == seq).all()
        assert (taken.xyz == seq / 2).all()


def test_a_full_ring_gives_no_slot_until_one_is_released() -> None:
    """A slot in use is never claimed again."""
    ring = Ring(slots=2, max_pixels=100, pinned=False)
    first = filled(ring, 0)
    filled(ring, 1)
    assert ring.claim() is None
    ring.take(timeout_s=0)
    assert ring.claim() is None  # taken, but still being computed on
    ring.release(first)
    assert ring.claim() == first


def test_shed_takes_the_hopeless_frame_that_is_due_first() -> None:
    """Under overload the frame that is too late goes, not one that can still be in time."""
    ring = Ring(slots=3, max_pixels=100, pinned=False)
    for seq, deadline_ns in ((0, 300), (1, 100), (2, 200)):
        filled(ring, seq, deadline_ns)
    shed = ring.shed(hopeless_before_ns=150)
    assert shed is not None
    assert shed.trigger.key.seq == 1
    assert ring.shed(hopeless_before_ns=150) is None
    taken = [ring.take(timeout_s=0), ring.take(timeout_s=0)]
    assert [slot.trigger.key.seq for slot in taken if slot] == [0, 2]


def test_frame_that_is_put_back_is_the_next_again() -> None:
    """A frame that did not fit into a batch keeps its place."""
    ring = Ring(slots=3, max_pixels=100, pinned=False)
    for seq in range(3):
        filled(ring, seq)
    first = ring.take(timeout_s=0)
    assert first is not None
    ring.put_back(first)
    taken = [ring.take(timeout_s=0) for _ in range(3)]
    assert [slot.trigger.key.seq for slot in taken if slot] == [0, 1, 2]
    assert ring.free == 0


def test_take_wakes_when_a_frame_comes() -> None:
    """A frame wakes the waiting loop."""
    ring = Ring(slots=1, max_pixels=100, pinned=False)
    timer = threading.Timer(0.05, lambda: filled(ring, 0))
    timer.start()
    assert ring.take(timeout_s=5) is not None
    timer.join()


def test_frame_size_is_checked_against_the_slot() -> None:
    """A frame larger than a slot does not fit."""
    ring = Ring(slots=1, max_pixels=20, pinned=False)
    assert ring.fits(4, 5)
    assert not ring.fits(4, 6)


def test_the_memory_of_expected_frames_is_taken_at_the_start() -> None:
    """A first backlog must not make the process grow: memory for expected frames is touched, the rest is not.

    Measured in a new process, whose allocator has no free memory to use again.
    """
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    untouched, expected = map(float, done.stdout.split())
    assert untouched < 0.1
    assert 0.9 < expected < 1.1


GROWTH = """
import resource
from pathlib import Path

from cmfm_worker.line.intake.ring import BYTES_PER_PIXEL, Ring

PIXELS, SLOTS = 1 << 19, 8


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def growth(expected_pixels):
    before = resident_bytes()
    rings.append(Ring(slots=SLOTS, max_pixels=2 * PIXELS, pinned=False, expected_pixels=expected_pixels))
    return (resident_bytes() - before) / (SLOTS * PIXELS * BYTES_PER_PIXEL)


rings = []
print(growth(0), growth(PIXELS))
"""
