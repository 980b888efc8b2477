"""Admission: every message becomes a part in the ring, a FAULT with its reason, or nothing new; never silence."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import msgpack
import numpy as np
import pytest

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM, FrameHeader, encode_frame
from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.clock import NS_PER_MS
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.messages import (
    Arrived,
    BookEvent,
    Closed,
    LineRecipe,
    Noticed,
    Opened,
    SourceSeen,
    TriggerKey,
)
from cmfm_worker.settings.sections.network import IntakeSection

FRAME = topic("line1", "station1", "frame")
STATE = topic("line1", "station1", "state")
CAMERA = "tcp://camera:5555"
START_NS = 1_700_000_000 * 10**9
HEADER = FrameHeader("cam", 0, "part0", START_NS, 500.0, "bagel")


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ns = 0

    def realtime_ns(self) -> int:
        return START_NS + self.ns

    def monotonic_ns(self) -> int:
        return self.ns


class OneRecipe:
    """Knows the recipe `bagel`."""

    def find(self, recipe: str) -> LineRecipe | None:
        return cast("LineRecipe", SimpleNamespace(sha="m")) if recipe == "bagel" else None


class PostedEvents:
    """Admission with everything around it, and what it said."""

    def __init__(self, *, slots: int = 4, max_pixels: int = 10_000, **settings: Any) -> None:
        self.clock = SetClock()
        self.events: list[BookEvent] = []
        self.ring = Ring(slots=slots, max_pixels=max_pixels, pinned=False)
        self.reception = Admission(
            settings=IntakeSection(**settings),
            ring=self.ring,
            shelf=OneRecipe(),
            tracker=SequenceTracker(max_gap=100, window_ns=200 * NS_PER_MS),
            post=self.events.append,
            done_ns=lambda now_ns: now_ns + 50 * NS_PER_MS,
            clock=self.clock,
        )

    def send(self, parts: Sequence[bytes | memoryview], camera: str = CAMERA) -> None:
        self.reception.frame_message(camera, [memoryview(part) for part in parts])

    def wait(self, ms: float) -> None:
        self.clock.ns += int(ms * NS_PER_MS)
        self.reception.tick()

    @property
    def faults(self) -> dict[TriggerKey, Reason]:
        closed = {e.key: e.decision.reason for e in self.events if isinstance(e, Closed)}
        opened = [e.trigger.key for e in self.events if isinstance(e, Opened)]
        closed |= {
            e.trigger.key: e.decision.reason for e in self.events if isinstance(e, Opened) and e.decision
        }
        assert len(opened) == len(set(opened))
        assert set(closed) <= set(opened)
        return closed

    @property
    def noticed(self) -> list[str]:
        return [e.what for e in self.events if isinstance(e, Noticed)]


def message(header: FrameHeader = HEADER, *, side: int = 20, **options: Any) -> list[bytes | memoryview]:
    return encode_frame(
        FRAME, header, np.zeros((side, side, 3), np.uint8), np.ones((side, side, 3), np.float32), **options
    )


def test_good_frame_waits_in_the_ring() -> None:
    """A good frame is opened, not closed, and lies in the ring."""
    desk = PostedEvents()
    desk.send(message())
    assert desk.faults == {}
    assert desk.ring.waiting == 1


def truncated() -> list[bytes | memoryview]:
    return message()[:3]


def short_array() -> list[bytes | memoryview]:
    parts = message()
    parts[2] = bytes(parts[2])[:-1]
    return parts


def flipped_bit() -> list[bytes | memoryview]:
    parts = message()
    pixels = bytearray(parts[2])
    pixels[7] ^= 1
    parts[2] = bytes(pixels)
    return parts


def future_version() -> list[bytes | memoryview]:
    parts = message(checksums=False)
    parts[1] = msgpack.packb({**msgpack.unpackb(parts[1]), "v": 2})
    return parts


def two_sizes() -> list[bytes | memoryview]:
    parts, other = message(checksums=False), message(side=10, checksums=False)
    header, smaller = msgpack.unpackb(parts[1]), msgpack.unpackb(other[1])
    header["arrays"] = [header["arrays"][0], smaller["arrays"][1]]
    return [parts[0], msgpack.packb(header), parts[2], other[3]]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (truncated(), Reason.TRUNCATED),
        (short_array(), Reason.TRUNCATED),
        (flipped_bit(), Reason.CHECKSUM),
        (future_version(), Reason.UNKNOWN_VERSION),
        (two_sizes(), Reason.SIZE_MISMATCH),
        (message(replace(HEADER, recipe="unknown")), Reason.UNKNOWN_RECIPE),
        (message(replace(HEADER, recipe="")), Reason.UNKNOWN_RECIPE),
        (message(side=200), Reason.OVERSIZE),
        (message(replace(HEADER, trigger_ns=START_NS - 600 * NS_PER_MS)), Reason.DEADLINE),
    ],
)
def test_bad_frame_is_a_fault_of_its_own_part(parts: list[bytes | memoryview], reason: Reason) -> None:
    """Each kind of damage has its reason, is charged to the part it came for, and takes no slot."""
    desk = PostedEvents()
    desk.send(parts)
    assert desk.faults == {TriggerKey("cam", 0): reason}
    assert desk.ring.waiting == 0
    assert desk.ring.free == 4


def test_garbage_between_frames_stands_for_the_missing_one() -> None:
    """A frame that arrived as garbage is one FAULT, `malformed`, under its own number."""
    desk = PostedEvents()
    desk.send(message())
    desk.send([FRAME, b"\xc1 not msgpack", b"", b""])
    desk.send(message(replace(HEADER, seq=2, part_id="part2")))
    desk.wait(250)
    assert desk.faults == {TriggerKey("cam", 1): Reason.MALFORMED}


def test_garbage_from_nowhere_is_a_fault_too() -> None:
    """A message that belongs to no stream still gets a verdict."""
    desk = PostedEvents()
    desk.send([FRAME, b"\xc1"])
    desk.wait(500)
    assert desk.faults == {TriggerKey(UNATTRIBUTED_STREAM, 0): Reason.MALFORMED}


def test_lost_frames_are_faults_and_duplicates_are_not() -> None:
    """A gap costs one FAULT a part; a duplicate costs nothing but a count."""
    desk = PostedEvents()
    desk.send(message())
    desk.send(message())
    desk.send(message(replace(HEADER, seq=3, part_id="part3")))
    desk.wait(250)
    assert desk.faults == {TriggerKey("cam", 1): Reason.LOST, TriggerKey("cam", 2): Reason.LOST}
    assert desk.noticed == ["duplicate"]


def test_heartbeat_after_the_last_frame_reveals_its_loss() -> None:
    """The end of a stream is accounted for without a further frame."""
    desk = PostedEvents()
    desk.send(message())
    state = CameraState("cam", 2, closing=True, sent_ns=START_NS)
    desk.reception.state_message(CAMERA, [memoryview(part) for part in encode_camera_state(STATE, state)])
    desk.wait(250)
    assert desk.faults == {TriggerKey("cam", 1): Reason.LOST}


def test_full_ring_sheds_the_hopeless_and_refuses_the_rest() -> None:
    """Under overload each part without a slot has its FAULT; a part that can still make it keeps its slot."""
    desk = PostedEvents(slots=2)
    desk.send(
        message(replace(HEADER, seq=0, deadline_ms=30.0))
    )  # cannot be computed in time: a step takes 50 ms
    desk.send(message(replace(HEADER, seq=1, deadline_ms=500.0)))
    desk.send(message(replace(HEADER, seq=2, deadline_ms=500.0)))
    desk.send(message(replace(HEADER, seq=3, deadline_ms=500.0)))
    assert desk.faults == {TriggerKey("cam", 0): Reason.DEADLINE, TriggerKey("cam", 3): Reason.RING_FULL}
    assert [e.noticed for e in desk.events if isinstance(e, Closed)] == ["shed"]
    assert desk.ring.waiting == 2


def test_frames_without_checksums_can_be_refused() -> None:
    """`sealed_only` turns an unsealed frame into a FAULT; a sealed one passes."""
    desk = PostedEvents(sealed_only=True)
    desk.send(message(checksums=False))
    desk.send(message(replace(HEADER, seq=1)))
    assert desk.faults == {TriggerKey("cam", 0): Reason.CHECKSUM}
    assert desk.ring.waiting == 1


def test_wrong_clock_counts_from_reception() -> None:
    """A trigger from the far future is counted as skew and gets its whole deadline from reception."""
    desk = PostedEvents()
    desk.send(message(replace(HEADER, trigger_ns=START_NS + 3600 * 10**9)))
    assert desk.noticed == ["clock_skew"]
    (opened,) = [e.trigger for e in desk.events if isinstance(e, Opened)]
    assert opened.deadline_ns == 500 * NS_PER_MS


def test_number_used_for_another_part_is_a_fault() -> None:
    """A camera that repeats its numbers does not lose parts as duplicates."""
    desk = PostedEvents()
    desk.send(message())
    desk.send(message(replace(HEADER, part_id="another", trigger_ns=START_NS + 1)))
    assert desk.faults == {TriggerKey(UNATTRIBUTED_STREAM, 0): Reason.MALFORMED}


def test_numbers_that_a_jump_passes_over_are_faults() -> None:
    """A long gap is no silent loss: each number has its verdict, some at a time."""
    desk = PostedEvents()  # max_gap is 100
    desk.send(message())
    for seq in (1000, 1001):
        desk.send(message(replace(HEADER, seq=seq, part_id=f"part{seq}")))
    for _ in range(20):
        desk.wait(250)
    assert {key.seq for key in desk.faults} == set(range(1, 1001))


def test_damage_from_one_camera_stands_for_its_own_number() -> None:
    """Two cameras on one line: garbage from one is that camera's missing part, although the other sends on."""
    desk = PostedEvents()
    for seq in (0, 2):
        desk.send(message(replace(HEADER, stream_uuid="left", seq=seq, part_id=f"left{seq}")), "tcp://left:1")
        if seq == 0:
            desk.send([FRAME, b"\xc1 not msgpack", b"", b""], "tcp://left:1")
        desk.send(message(replace(HEADER, stream_uuid="right", seq=seq // 2)), "tcp://right:1")
    desk.wait(250)
    desk.wait(500)
    assert desk.faults == {TriggerKey("left", 1): Reason.MALFORMED}


def test_signs_of_life_name_camera_and_stream() -> None:
    """A camera without heartbeats is seen by its frames; a fast line does not report each of them."""
    desk = PostedEvents()
    for seq in range(5):
        desk.send(message(replace(HEADER, seq=seq, part_id=f"part{seq}")))
    desk.wait(150)
    desk.send(message(replace(HEADER, seq=5, part_id="part5")))
    assert [e for e in desk.events if isinstance(e, SourceSeen)] == [SourceSeen(CAMERA, "cam")] * 2


TRIGGER = topic("line1", "station1", "trigger")
TOLD = TriggerMessage("cam", 0, "part0", START_NS, 300.0, "bagel")


def tell(desk: PostedEvents, message: TriggerMessage = TOLD, *, checksums: bool = True) -> None:
    parts = encode_trigger(TRIGGER, message, checksums=checksums)
    desk.reception.trigger_message(CAMERA, [memoryview(part) for part in parts])


def test_announced_part_is_open_before_its_frame() -> None:
    """Its deadline runs from the trigger, whether or not a frame ever comes."""
    desk = PostedEvents()
    tell(desk)
    (opened,) = [e.trigger for e in desk.events if isinstance(e, Opened)]
    assert (opened.key, opened.part_id, opened.recipe) == (("cam", 0), "part0", "bagel")
    assert (opened.received_ns, opened.deadline_ns) == (None, 300 * NS_PER_MS)
    desk.wait(1000)
    assert desk.faults == {}  # the desk keeps the deadline
    desk.send(message())
    assert desk.noticed == ["late"]


def test_frame_of_an_announced_part_is_inspected_as_that_part() -> None:
    """One trigger; the earlier deadline holds, and each says what the other left empty."""
    desk = PostedEvents()
    tell(desk, replace(TOLD, part_id="eye-7", recipe=""))
    desk.clock.ns += 10 * NS_PER_MS
    desk.send(message(replace(HEADER, part_id="")))
    (arrived,) = [e.trigger for e in desk.events if isinstance(e, Arrived)]
    assert (arrived.part_id, arrived.recipe, arrived.deadline_ns) == ("eye-7", "bagel", 300 * NS_PER_MS)
    assert arrived.received_ns == START_NS + 10 * NS_PER_MS
    slot = desk.ring.take(timeout_s=0)
    assert slot is not None
    assert slot.trigger == arrived
    assert len([e for e in desk.events if isinstance(e, Opened)]) == 1


@pytest.mark.parametrize("frame", [replace(HEADER, part_id="another"), replace(HEADER, recipe="cookie")])
def test_frame_that_contradicts_its_announcement_is_not_inspected(frame: FrameHeader) -> None:
    """It is not known what lies there: the announced part is a FAULT, and no second trigger comes of it."""
    desk = PostedEvents()
    tell(desk)
    desk.send(message(frame))
    (refused,) = [e for e in desk.events if isinstance(e, Arrived)]
    assert refused.decision is not None
    assert refused.decision.reason is Reason.MALFORMED
    assert (refused.trigger.key, refused.trigger.part_id) == (("cam", 0), "part0")
    assert desk.ring.waiting == 0


def test_damaged_frame_of_an_announced_part_is_its_fault() -> None:
    """Whether or not the damaged frame can say which part it is, there is one FAULT, by the deadline, and why."""
    desk = PostedEvents()
    tell(desk)
    tell(desk, replace(TOLD, seq=1, part_id="part1"))
    desk.send([FRAME, b"garbage"])
    desk.send([*message(replace(HEADER, seq=1, part_id="part1"))[:3]])
    desk.wait(290)
    found = {
        e.trigger.key.seq: e.decision.reason for e in desk.events if isinstance(e, Arrived) and e.decision
    }
    assert found == {0: Reason.MALFORMED, 1: Reason.TRUNCATED}
    desk.wait(10_000)
    assert desk.faults == {}
    assert len([e for e in desk.events if isinstance(e, Opened)]) == 2


def test_trigger_message_that_says_nothing_new_is_counted() -> None:
    """Twice, after its frame, too far off, damaged, or unsealed where seals are asked for."""
    desk = PostedEvents(sealed_only=True)
    tell(desk)
    tell(desk)
    desk.send(message())
    tell(desk)
    tell(desk, replace(TOLD, seq=5000))
    tell(desk, replace(TOLD, seq=1), checksums=False)
    desk.reception.trigger_message(CAMERA, [memoryview(TRIGGER), memoryview(b"garbage")])
    assert desk.noticed == [
        "trigger_duplicate",
        "trigger_duplicate",
        "trigger_jump",
        "unsealed_trigger",
        "damaged_trigger",
    ]
    assert len([e for e in desk.events if isinstance(e, Opened)]) == 1


def test_drain_answers_announced_parts_whose_frames_will_not_come() -> None:
    """Nothing is left open when no more messages are read."""
    desk = PostedEvents()
    tell(desk)
    desk.reception.finish()
    assert desk.faults == {TriggerKey("cam", 0): Reason.LOST}


def test_lines_own_count_opens_every_part_up_to_it() -> None:
    """Also without a single message of the camera; the part that is named keeps its name."""
    desk = PostedEvents()
    assert desk.reception.announce(replace(TOLD, seq=2)) is None
    assert desk.reception.announce(replace(TOLD, seq=2)) is None
    opened = [e.trigger for e in desk.events if isinstance(e, Opened)]
    assert [(t.key.seq, t.part_id) for t in opened] == [(0, ""), (1, ""), (2, "part0")]
    assert {t.deadline_ns for t in opened} == {300 * NS_PER_MS}
    refusal = desk.reception.announce(replace(TOLD, seq=9000))
    assert refusal is not None
    assert "9000" in refusal
