"""Admission: every message becomes a frame in the ring, a FAULT with its reason, or is counted."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import msgpack
import numpy as np
import pytest
from structlog.testing import capture_logs

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM, FrameHeader, encode_frame
from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.intake.stream import MAX_JUMP
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


class Intake:
    """Admission with a ring and a clock, and the events that it posted, each with the frames in the ring then."""

    def __init__(
        self,
        *,
        slots: int = 4,
        max_pixels: int = 10_000,
        max_gap: int = 100,
        backlog: Callable[[], int] = lambda: 0,
        resume: dict[str, dict[int, int]] | None = None,
        **settings: Any,
    ) -> None:
        self.clock = SetClock()
        self.posted: list[tuple[BookEvent, int]] = []
        self.ring = Ring(slots=slots, max_pixels=max_pixels, pinned=False)
        self.admission = Admission(
            settings=IntakeSection(**settings),
            ring=self.ring,
            recipes=OneRecipe(),
            tracker=SequenceTracker(max_gap=max_gap, window_ns=200 * NS_PER_MS, resume=resume),
            post=lambda event: self.posted.append((event, self.ring.waiting)),
            done_ns=lambda now_ns: now_ns + 50 * NS_PER_MS,
            clock=self.clock,
            backlog=backlog,
            cameras={CAMERA: "camera1", "tcp://left:1": "left", "tcp://right:1": "right"},
        )

    def send(self, message: Sequence[bytes | memoryview], camera: str = CAMERA) -> None:
        self.admission.frame_message(camera, [memoryview(frame) for frame in message])

    def beat(self, next_seq: int, *, closing: bool = False, stream: str = "cam") -> None:
        state = CameraState(stream, next_seq, closing=closing, sent_ns=START_NS)
        self.admission.state_message(
            CAMERA, [memoryview(frame) for frame in encode_camera_state(STATE, state)]
        )

    def wait(self, ms: float) -> None:
        self.clock.ns += int(ms * NS_PER_MS)
        self.admission.tick()

    @property
    def events(self) -> list[BookEvent]:
        return [event for event, _ in self.posted]

    @property
    def seen(self) -> list[SourceSeen]:
        return [event for event in self.events if isinstance(event, SourceSeen)]

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
    def readable(self) -> dict[str, tuple[TriggerKey, Reason | None]]:
        """By part: the number under which it was opened, and the reason of its FAULT, None if it is inspected."""
        return {
            e.trigger.part_id: (e.trigger.key, e.decision.reason if e.decision else None)
            for e in self.events
            if isinstance(e, Opened) and e.trigger.part_id
        }

    @property
    def noticed(self) -> list[str]:
        return [e.what for e in self.events if isinstance(e, Noticed)]


def message(
    header: FrameHeader = HEADER, *, side: int = 20, picture: int | None = None, **options: Any
) -> list[bytes | memoryview]:
    """A frame; `picture` numbers its pixels, by default another one for each number and stream."""
    number = header.seq if picture is None else picture
    stream = zlib.crc32(header.stream_uuid.encode()) if picture is None else 0
    rgb = np.full((side, side, 3), (number % 256, number // 256 % 256, stream % 256), np.uint8)
    return encode_frame(FRAME, header, rgb, np.ones((side, side, 3), np.float32), **options)


def test_good_frame_waits_in_the_ring() -> None:
    """A good frame is opened, not closed, and lies in the ring."""
    intake = Intake()
    intake.send(message())
    assert intake.faults == {}
    assert intake.ring.waiting == 1


def truncated() -> list[bytes | memoryview]:
    return message()[:3]


def short_array() -> list[bytes | memoryview]:
    frames = message()
    frames[2] = bytes(frames[2])[:-1]
    return frames


def flipped_bit() -> list[bytes | memoryview]:
    frames = message()
    pixels = bytearray(frames[2])
    pixels[7] ^= 1
    frames[2] = bytes(pixels)
    return frames


def future_version() -> list[bytes | memoryview]:
    frames = message(checksums=False)
    frames[1] = msgpack.packb({**msgpack.unpackb(frames[1]), "v": 2})
    return frames


def two_sizes() -> list[bytes | memoryview]:
    frames, other = message(checksums=False), message(side=10, checksums=False)
    header, smaller = msgpack.unpackb(frames[1]), msgpack.unpackb(other[1])
    header["arrays"] = [header["arrays"][0], smaller["arrays"][1]]
    return [frames[0], msgpack.packb(header), frames[2], other[3]]


@pytest.mark.parametrize(
    ("frames", "reason"),
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
def test_bad_frame_is_a_fault_of_its_own_part(frames: list[bytes | memoryview], reason: Reason) -> None:
    """Each kind of damage has its reason, belongs to the part it came for, and takes no slot."""
    intake = Intake()
    intake.send(frames)
    assert intake.faults == {TriggerKey("cam", 0): reason}
    assert intake.ring.waiting == 0
    assert intake.ring.free == 4


def test_unreadable_message_between_frames_stands_for_the_missing_one() -> None:
    """A frame that arrived unreadable is one FAULT, `malformed`, under its own number."""
    intake = Intake()
    intake.send(message())
    intake.send([FRAME, b"\xc1 not msgpack", b"", b""])
    intake.send(message(replace(HEADER, seq=2, part_id="part2")))
    intake.wait(250)
    assert intake.faults == {TriggerKey("cam", 1): Reason.MALFORMED}


def test_unreadable_message_without_a_stream_is_a_fault_too() -> None:
    """A message that belongs to no stream still gets a verdict."""
    intake = Intake()
    intake.send([FRAME, b"\xc1"])
    intake.wait(500)
    assert intake.faults == {TriggerKey(UNATTRIBUTED_STREAM, 0): Reason.MALFORMED}


def test_lost_frames_are_faults_and_duplicates_are_not() -> None:
    """Each part in a gap gets one FAULT; a duplicate is only counted."""
    intake = Intake()
    intake.send(message())
    intake.send(message())
    intake.send(message(replace(HEADER, seq=3, part_id="part3")))
    intake.wait(250)
    assert intake.faults == {TriggerKey("cam", 1): Reason.LOST, TriggerKey("cam", 2): Reason.LOST}
    assert intake.noticed == ["duplicate"]


def test_heartbeat_after_the_last_frame_reveals_its_loss() -> None:
    """The end of a stream is accounted for without a further frame."""
    intake = Intake()
    intake.send(message())
    intake.beat(2, closing=True)
    intake.wait(250)
    assert intake.faults == {TriggerKey("cam", 1): Reason.LOST}


def test_full_ring_sheds_the_hopeless_and_refuses_the_rest() -> None:
    """Under overload each part without a slot has its FAULT; a part that can still be in time keeps its slot."""
    intake = Intake(slots=2)
    intake.send(
        message(replace(HEADER, seq=0, deadline_ms=30.0))
    )  # cannot be computed in time: a step takes 50 ms
    intake.send(message(replace(HEADER, seq=1, deadline_ms=500.0)))
    intake.send(message(replace(HEADER, seq=2, deadline_ms=500.0)))
    intake.send(message(replace(HEADER, seq=3, deadline_ms=500.0)))
    assert intake.faults == {TriggerKey("cam", 0): Reason.DEADLINE, TriggerKey("cam", 3): Reason.RING_FULL}
    assert [e.noticed for e in intake.events if isinstance(e, Closed)] == ["shed"]
    assert intake.ring.waiting == 2


def test_frames_without_checksums_can_be_refused() -> None:
    """`sealed_only` turns an unsealed frame into a FAULT; a sealed one passes."""
    intake = Intake(sealed_only=True)
    intake.send(message(checksums=False))
    intake.send(message(replace(HEADER, seq=1)))
    assert intake.faults == {TriggerKey("cam", 0): Reason.CHECKSUM}
    assert intake.ring.waiting == 1


DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize(
    ("trigger_ns", "clock", "words"),
    [
        (START_NS + 2 * 10**9, "realtime", ["2 s ahead"]),
        (START_NS + 3600 * 10**9, "realtime", ["60 minutes ahead"]),
        (START_NS - 61 * 10**9, "realtime", ["61 s back"]),
        (START_NS - 7200 * 10**9, "realtime", ["2 hours back"]),
        (START_NS // 1000, "realtime", ["54 years back", "microseconds since 1970"]),
        (START_NS // 10**6, "realtime", ["54 years back", "milliseconds since 1970"]),
        (START_NS // 10**9, "realtime", ["54 years back", "seconds since 1970"]),
        (5 * DAY_NS, "realtime", ["54 years back", "since a boot", "monotonic"]),
        (300 * DAY_NS, "realtime", ["53 years back", "since a boot"]),
        (0, "realtime", ["54 years back"]),
        (START_NS, "monotonic", ["54 years ahead", "realtime"]),
        (START_NS // 1000, "monotonic", ["15 days ahead", "microseconds"]),
    ],
)
def test_wrong_clock_or_unit_is_a_fault_that_says_so(trigger_ns: int, clock: Any, words: list[str]) -> None:
    """Ahead or behind: the reason is not the deadline, and the detail says how far and what it looks like."""
    intake = Intake()
    intake.clock.ns = 5 * DAY_NS
    shift_ns = 5 * DAY_NS if clock == "realtime" and trigger_ns > 10**18 else 0
    intake.send(message(replace(HEADER, trigger_ns=trigger_ns + shift_ns, clock=clock)))
    (opened,) = [e for e in intake.events if isinstance(e, Opened)]
    assert opened.decision is not None
    assert opened.decision.reason is Reason.CLOCK_SKEW
    assert all(word in opened.decision.detail for word in ["wrong clock or unit", *words]), (
        opened.decision.detail
    )
    assert intake.noticed == ["clock_skew"]
    assert opened.trigger.deadline_ns == 5 * DAY_NS + 500 * NS_PER_MS


@pytest.mark.parametrize(
    ("trigger_ns", "clock"),
    [
        (START_NS + 900 * 10**6, "realtime"),
        (START_NS - 400 * 10**6, "realtime"),
        (7, "none"),
        (900 * 10**6, "monotonic"),
    ],
)
def test_clocks_within_tolerance_are_believed(trigger_ns: int, clock: Any) -> None:
    """A small lead is no fault, and a sender without a clock has none that could be wrong."""
    intake = Intake()
    intake.send(message(replace(HEADER, trigger_ns=trigger_ns, clock=clock)))
    assert (intake.faults, intake.noticed) == ({}, [])


def test_announcement_from_a_wrong_clock_counts_from_reception() -> None:
    """Its deadline would otherwise have passed, or never come; the clock is counted and logged."""
    for offset_ns in (3600 * 10**9, -3600 * 10**9):
        intake = Intake()
        with capture_logs() as logs:
            tell(intake, replace(TOLD, trigger_ns=START_NS + offset_ns))
        (opened,) = [e for e in intake.events if isinstance(e, Opened)]
        assert (opened.decision, opened.trigger.deadline_ns) == (None, 300 * NS_PER_MS)
        assert intake.noticed == ["clock_skew"]
        assert [entry["event"] for entry in logs] == ["clock_skew"]


def test_number_used_for_another_part_is_a_fault() -> None:
    """A camera that repeats its numbers does not lose parts as duplicates."""
    intake = Intake()
    intake.send(message())
    intake.send(message(replace(HEADER, part_id="another", trigger_ns=START_NS + 1)))
    assert intake.faults == {TriggerKey(UNATTRIBUTED_STREAM, 0): Reason.MALFORMED}


def test_numbers_that_a_jump_passes_over_are_faults() -> None:
    """Each number of a long gap gets its verdict, some at a time."""
    intake = Intake()  # max_gap is 100
    intake.send(message())
    for seq in (1000, 1001):
        intake.send(message(replace(HEADER, seq=seq, part_id=f"part{seq}")))
    for _ in range(40):
        intake.wait(250)
    assert {key.seq for key in intake.faults} == set(range(1, 1001))


def test_damage_from_one_camera_stands_for_its_own_number() -> None:
    """Two cameras on one line: an unreadable message of one is that camera's missing part; the other sends on."""
    intake = Intake()
    for seq in (0, 2):
        intake.send(
            message(replace(HEADER, stream_uuid="left", seq=seq, part_id=f"left{seq}")), "tcp://left:1"
        )
        if seq == 0:
            intake.send([FRAME, b"\xc1 not msgpack", b"", b""], "tcp://left:1")
        intake.send(message(replace(HEADER, stream_uuid="right", seq=seq // 2)), "tcp://right:1")
    intake.wait(250)
    intake.wait(500)
    assert intake.faults == {TriggerKey("left", 1): Reason.MALFORMED}


def test_signs_of_life_name_camera_and_stream() -> None:
    """A camera without heartbeats is seen by its frames; a fast line does not report each of them."""
    intake = Intake()
    for seq in range(5):
        intake.send(message(replace(HEADER, seq=seq, part_id=f"part{seq}")))
    intake.wait(150)
    intake.send(message(replace(HEADER, seq=5, part_id="part5")))
    assert intake.seen == [SourceSeen(CAMERA, "cam", frame=True)] * 2


def test_heartbeat_alone_is_a_sign_of_life() -> None:
    """A camera that waits for parts is alive: its heartbeats are reported while no frame comes."""
    intake = Intake()
    for _ in range(3):
        intake.beat(0)
        intake.wait(150)
    assert intake.seen == [SourceSeen(CAMERA, "cam")] * 3


def test_new_boot_of_a_camera_is_reported_at_once() -> None:
    """Two boots within a moment are two streams for whoever looks for a camera that keeps rebooting."""
    intake = Intake()
    intake.beat(0)
    intake.beat(0, stream="rebooted")
    assert intake.seen == [SourceSeen(CAMERA, "cam"), SourceSeen(CAMERA, "rebooted")]


def test_camera_that_goes_on_after_its_last_heartbeat_is_not_closing() -> None:
    """A disconnect is expected after a closing heartbeat, and a loss again once the camera beats on."""
    intake = Intake()
    assert not intake.admission.is_closing(CAMERA)
    intake.beat(0, closing=True)
    assert intake.admission.is_closing(CAMERA)
    intake.beat(0)
    assert not intake.admission.is_closing(CAMERA)


def test_part_is_open_before_its_frame_can_be_inspected() -> None:
    """The loop finds a frame in the ring only after the verdict book knows its trigger, announced or not."""
    intake = Intake()
    tell(intake)
    intake.send(message())
    intake.send(message(replace(HEADER, seq=1, part_id="part1")))
    waiting = [count for event, count in intake.posted if isinstance(event, Opened | Arrived)]
    assert waiting == [0, 0, 1]  # announced, its frame, another frame: none was in the ring yet
    assert intake.ring.waiting == 2


def test_deadline_is_cut_to_the_longest_that_the_line_allows() -> None:
    """A header cannot keep a part open for an hour."""
    intake = Intake(max_deadline_ms=2000.0)
    intake.send(message(replace(HEADER, deadline_ms=3_600_000.0)))
    (opened,) = [event.trigger for event in intake.events if isinstance(event, Opened)]
    assert opened.deadline_ns == 2000 * NS_PER_MS


def test_numbers_without_a_fault_of_their_own_are_counted() -> None:
    """A jump over more numbers than get a FAULT each says how many it passed over."""
    intake = Intake()
    intake.send(message())
    for seq in (MAX_JUMP + 500, MAX_JUMP + 501):
        intake.send(message(replace(HEADER, seq=seq, part_id=f"part{seq}")))
    assert [event for event in intake.events if event == Noticed("skipped", 499)] != []


TRIGGER = topic("line1", "station1", "trigger")
TOLD = TriggerMessage("cam", 0, "part0", START_NS, 300.0, "bagel")


def tell(intake: Intake, message: TriggerMessage = TOLD, *, checksums: bool = True) -> None:
    encoded = encode_trigger(TRIGGER, message, checksums=checksums)
    intake.admission.trigger_message(CAMERA, [memoryview(frame) for frame in encoded])


def test_announced_part_is_open_before_its_frame() -> None:
    """Its deadline runs from the trigger, whether or not a frame ever comes."""
    intake = Intake()
    tell(intake)
    (opened,) = [e.trigger for e in intake.events if isinstance(e, Opened)]
    assert (opened.key, opened.part_id, opened.recipe) == (("cam", 0), "part0", "bagel")
    assert (opened.received_ns, opened.deadline_ns) == (None, 300 * NS_PER_MS)
    intake.wait(1000)
    assert intake.faults == {}  # the verdict book keeps the deadline
    intake.send(message())
    assert intake.noticed == ["late"]


def test_frame_of_an_announced_part_is_inspected_as_that_part() -> None:
    """There is one trigger. The earlier deadline holds, and each fills what the other left empty."""
    intake = Intake()
    tell(intake, replace(TOLD, part_id="eye-7", recipe=""))
    intake.clock.ns += 10 * NS_PER_MS
    intake.send(message(replace(HEADER, part_id="")))
    (arrived,) = [e.trigger for e in intake.events if isinstance(e, Arrived)]
    assert (arrived.part_id, arrived.recipe, arrived.deadline_ns) == ("eye-7", "bagel", 300 * NS_PER_MS)
    assert arrived.received_ns == START_NS + 10 * NS_PER_MS
    slot = intake.ring.take(timeout_s=0)
    assert slot is not None
    assert slot.trigger == replace(arrived, camera="")
    assert len([e for e in intake.events if isinstance(e, Opened)]) == 1


def test_earlier_deadline_of_frame_and_announcement_holds() -> None:
    """A frame that is due before its announcement said is due then."""
    intake = Intake()
    tell(intake)
    intake.send(message(replace(HEADER, deadline_ms=100.0)))
    (arrived,) = [event.trigger for event in intake.events if isinstance(event, Arrived)]
    assert arrived.deadline_ns == 100 * NS_PER_MS


@pytest.mark.parametrize("frame", [replace(HEADER, part_id="another"), replace(HEADER, recipe="cookie")])
def test_frame_that_contradicts_its_announcement_is_not_inspected(frame: FrameHeader) -> None:
    """It is not known which part lies there: the announced one is a FAULT, and no second trigger is opened."""
    intake = Intake()
    tell(intake)
    intake.send(message(frame))
    (refused,) = [e for e in intake.events if isinstance(e, Arrived)]
    assert refused.decision is not None
    assert refused.decision.reason is Reason.MALFORMED
    assert (refused.trigger.key, refused.trigger.part_id) == (("cam", 0), "part0")
    assert intake.ring.waiting == 0


def test_damaged_frame_of_an_announced_part_is_its_fault() -> None:
    """Whether or not the damaged frame can say which part it is, there is one FAULT, by the deadline, and why."""
    intake = Intake()
    tell(intake)
    tell(intake, replace(TOLD, seq=1, part_id="part1"))
    intake.send([FRAME, b"garbage"])
    intake.send([*message(replace(HEADER, seq=1, part_id="part1"))[:3]])
    intake.wait(290)
    found = {
        e.trigger.key.seq: e.decision.reason for e in intake.events if isinstance(e, Arrived) and e.decision
    }
    assert found == {0: Reason.MALFORMED, 1: Reason.TRUNCATED}
    intake.wait(10_000)
    assert intake.faults == {}
    assert len([e for e in intake.events if isinstance(e, Opened)]) == 2


def test_trigger_message_that_says_nothing_new_is_counted() -> None:
    """Repeated, after its frame, too far off, damaged, or unsealed although seals are required."""
    intake = Intake(sealed_only=True)
    tell(intake)
    tell(intake)
    intake.send(message())
    tell(intake)
    tell(intake, replace(TOLD, seq=5000))
    tell(intake, replace(TOLD, seq=1), checksums=False)
    intake.admission.trigger_message(CAMERA, [memoryview(TRIGGER), memoryview(b"garbage")])
    assert intake.noticed == [
        "trigger_duplicate",
        "trigger_duplicate",
        "trigger_jump",
        "unsealed_trigger",
        "damaged_trigger",
    ]
    assert len([e for e in intake.events if isinstance(e, Opened)]) == 1


def test_drain_answers_announced_parts_whose_frames_will_not_come() -> None:
    """Nothing stays open when no more messages are read."""
    intake = Intake()
    tell(intake)
    intake.admission.finish()
    assert intake.faults == {TriggerKey("cam", 0): Reason.LOST}


def test_lines_own_count_opens_every_part_up_to_it() -> None:
    """The camera need not have sent anything. The part that is named keeps its name."""
    intake = Intake()
    assert intake.admission.announce(replace(TOLD, seq=2)) is None
    assert intake.admission.announce(replace(TOLD, seq=2)) is None
    opened = [e.trigger for e in intake.events if isinstance(e, Opened)]
    assert [(t.key.seq, t.part_id) for t in opened] == [(0, ""), (1, ""), (2, "part0")]
    assert {t.deadline_ns for t in opened} == {300 * NS_PER_MS}
    refusal = intake.admission.announce(replace(TOLD, seq=9000))
    assert refusal is not None
    assert "9000" in refusal
