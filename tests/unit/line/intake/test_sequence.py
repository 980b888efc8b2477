"""Sequence rules (`sequence`), case by case."""

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM as UNATTRIBUTED
from cmfm_protocol.wire.limits import MAX_COUNT
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.past_streams import MAX_PAST, PastStreams
from cmfm_worker.line.intake.sequence import (
    DAMAGED_EARLY_NS,
    LOST_AT_ONCE,
    MAX_ORPHANS,
    MAX_STREAMS,
    Orphan,
    SequenceTracker,
)
from cmfm_worker.line.intake.stream import MAX_JUMP
from cmfm_worker.line.intake.used_numbers import Fingerprint, PastNumbers, Sighting
from cmfm_worker.line.messages import TriggerKey

WINDOW_NS = 100
MAX_GAP = 10


def tracker(resume: dict[str, list[int]] | None = None) -> SequenceTracker:
    return SequenceTracker(max_gap=MAX_GAP, window_ns=WINDOW_NS, resume=resume)


def see(
    t: SequenceTracker, seq: int, now_ns: int, *, stream: str = "a", trigger_ns: int | None = None
) -> Sighting:
    fingerprint = Fingerprint(seq if trigger_ns is None else trigger_ns, f"part{seq}")
    return t.frame("line1/s1", TriggerKey(stream, seq), fingerprint, now_ns)


def orphan(at_ns: int, reason: Reason = Reason.MALFORMED) -> Orphan:
    return Orphan(reason, "not msgpack", received_ns=at_ns, at_ns=at_ns)


def lost(t: SequenceTracker, now_ns: int) -> list[tuple[str, int]]:
    return [(m.key.stream_uuid, m.key.seq) for m in t.expire(now_ns)]


def test_frames_in_order_owe_nothing() -> None:
    """A stream without gaps never produces a missing trigger."""
    t = tracker()
    assert [see(t, seq, seq) for seq in range(50)] == [Sighting.NEW] * 50
    assert t.expire(10_000) == []


def test_gap_is_lost_once_after_the_window() -> None:
    """Each skipped number is reported exactly once, and only when its window has closed."""
    t = tracker()
    see(t, 0, 0)
    see(t, 3, 10)
    assert lost(t, 109) == []
    assert lost(t, 110) == [("a", 1), ("a", 2)]
    assert lost(t, 10_000) == []


def test_first_numbers_of_a_stream_count() -> None:
    """A stream starts at 0: what came before its first frame is missing, once a second one confirms it."""
    t = tracker()
    see(t, 2, 0)
    assert lost(t, WINDOW_NS) == []
    see(t, 3, WINDOW_NS)
    assert lost(t, 2 * WINDOW_NS) == [("a", 0), ("a", 1)]


def test_heartbeat_confirms_a_stream_too() -> None:
    """With the camera's heartbeat one frame is enough to count those before it as missing."""
    t = tracker()
    see(t, 1, 0)
    t.announce("line1/s1", "a", 2, 0)
    assert lost(t, WINDOW_NS) == [("a", 0)]


def test_first_frames_out_of_order_are_new() -> None:
    """A stream whose first two frames change places loses none."""
    t = tracker()
    assert [see(t, seq, 0) for seq in (1, 0, 2)] == [Sighting.NEW] * 3
    assert t.expire(10_000) == []


def test_flipped_bit_in_a_stream_id_invents_no_past() -> None:
    """One frame under an unknown stream is one trigger, not as many as its number says."""
    t = tracker()
    for seq in range(8):
        see(t, seq, 0)
    assert see(t, 8, 0, stream="b") is Sighting.NEW
    see(t, 9, 0)
    assert lost(t, 10_000) == [("a", 8)]


def test_sealed_first_frame_proves_its_past() -> None:
    """Numbers before the first frame are lost, even if the camera dies after this one frame."""
    t = tracker()
    t.frame("line1/s1", TriggerKey("a", 2), Fingerprint(2, "p"), 0, sealed=True)
    assert lost(t, WINDOW_NS) == [("a", 0), ("a", 1)]


def test_reordered_frame_within_the_window_is_new() -> None:
    """A frame that was only late is inspected, not lost."""
    t = tracker()
    assert [see(t, s, 0) for s in (0, 2, 1, 3)] == [Sighting.NEW] * 4
    assert t.expire(10_000) == []


def test_frame_after_its_fault_is_late() -> None:
    """A published verdict stays: the late frame is not a new trigger."""
    t = tracker()
    see(t, 1, 0)
    see(t, 2, 0)
    assert lost(t, WINDOW_NS) == [("a", 0)]
    assert see(t, 0, 500) is Sighting.LATE
    assert t.expire(10_000) == []


def test_duplicate_is_recognised() -> None:
    """The same frame twice is one trigger."""
    t = tracker()
    assert see(t, 0, 0) is Sighting.NEW
    assert see(t, 0, 1) is Sighting.DUPLICATE


def test_every_number_that_is_no_jump_is_recognised() -> None:
    """A frame or a FAULT as far back as a frame may reach is not a new trigger, whatever came meanwhile."""
    t = tracker()
    see(t, MAX_GAP, 0)
    see(t, MAX_GAP + 1, 0)
    assert lost(t, WINDOW_NS) == [("a", seq) for seq in range(MAX_GAP)]
    for seq in range(MAX_GAP + 2, 3 * MAX_GAP):
        see(t, seq, WINDOW_NS)
        back = [see(t, seq - steps, WINDOW_NS) for steps in range(MAX_GAP)]
        assert back == [
            Sighting.DUPLICATE if seq - steps >= MAX_GAP else Sighting.LATE for steps in range(MAX_GAP)
        ]
    assert t.expire(10_000) == []


def test_reused_number_is_not_a_duplicate() -> None:
    """Another part under a used number must not vanish as a duplicate."""
    t = tracker()
    see(t, 0, 0)
    assert see(t, 0, 1, trigger_ns=99) is Sighting.REUSED


def test_single_jump_is_not_believed() -> None:
    """One flipped bit in a number neither loses the stream nor invents thousands of triggers."""
    t = tracker()
    see(t, 0, 0)
    assert see(t, 5000, 1) is Sighting.JUMP
    assert see(t, 2, 2) is Sighting.NEW
    assert lost(t, 10_000) == [("a", 1)]


def test_only_the_very_next_number_confirms_a_jump() -> None:
    """Two damaged numbers in a row, however close to each other, write off nothing of a stream that goes on."""
    t = tracker()
    see(t, 0, 0)
    for far in (5000, 9000, 5001, 5003, 5002):
        assert see(t, far, 1) is Sighting.JUMP
    assert see(t, 1, 2) is Sighting.NEW
    assert t.expire(10_000) == []


def test_jump_is_not_confirmed_after_a_frame_that_was_near() -> None:
    """The confirming frame follows in a row: a near one in between shows that the far number was damaged."""
    t = tracker()
    see(t, 0, 0)
    assert see(t, 5000, 1) is Sighting.JUMP
    assert see(t, 1, 2) is Sighting.NEW
    assert see(t, 5001, 3) is Sighting.JUMP
    assert t.expire(10_000) == []


def test_confirmed_jump_is_believed() -> None:
    """A camera that really went on elsewhere is followed, and every number that it passed over gets its FAULT."""
    t = tracker()
    see(t, 0, 0)
    assert see(t, 5000, 1) is Sighting.JUMP
    assert see(t, 5001, 2) is Sighting.NEW
    given: list[tuple[str, int]] = []
    while found := lost(t, 10_000):
        assert len(found) <= LOST_AT_ONCE  # the verdicts of parts that are there go out in between
        given += found
    assert given[-1] == ("a", 4999)  # 5000, whose frame came, is not behind all others
    assert sorted(given) == [("a", seq) for seq in range(1, 5001)]
    assert t.take_skipped() == 0


def test_enormous_jump_is_counted() -> None:
    """A camera that counts wildly cannot make the worker write FAULTs for hours: only the newest numbers get one."""
    t = tracker()
    see(t, 0, 0)
    assert see(t, 10**9, 1) is Sighting.JUMP
    assert see(t, 10**9 + 1, 2) is Sighting.NEW
    assert len(t.flush()) == MAX_JUMP + 1
    assert (t.take_skipped(), t.take_skipped()) == (10**9 - 1 - MAX_JUMP, 0)


def test_camera_that_counts_from_zero_again_is_followed() -> None:
    """A camera that wrongly keeps its stream id over a reboot is believed at its second frame."""
    t = tracker()
    for seq in range(100):
        see(t, seq, 0)
    t2 = [see(t, seq, 1, trigger_ns=1000 + seq) for seq in range(3)]
    assert Sighting.DUPLICATE not in t2


def test_joining_a_running_stream_starts_there() -> None:
    """A worker that joins a running camera does not report the numbers before as lost."""
    t = tracker()
    assert see(t, 4000, 0) is Sighting.NEW
    assert t.expire(10_000) == []


def test_resumed_stream_reports_what_was_missed() -> None:
    """After a restart the numbers after the ledger's last one that passed meanwhile are lost."""
    t = tracker(resume={"a": [4, 5, 6]})
    see(t, 9, 0)
    assert lost(t, WINDOW_NS) == [("a", 7), ("a", 8)]


def test_resumed_stream_owes_what_the_former_worker_left_out() -> None:
    """Numbers in flight at the kill are lost, although later ones were answered and no camera is heard again."""
    t = tracker(resume={"a": [4, 6, 9]})
    assert lost(t, 1) == [("a", 5), ("a", 7), ("a", 8)]
    assert lost(t, 10_000) == []


def test_resumed_stream_is_not_answered_twice() -> None:
    """A frame that comes late, or again, after the worker was restarted has had its verdict."""
    t = tracker(resume={"a": [4, 6]})
    assert see(t, 4, 0) is Sighting.LATE
    assert see(t, 6, 0) is Sighting.LATE
    assert see(t, 7, 0) is Sighting.NEW


def test_resumed_numbers_are_answered_as_far_as_a_frame_may_reach() -> None:
    """Every number that the former worker answered within `max_gap` is late, not the newest few alone."""
    t = tracker(resume={"a": list(range(MAX_GAP))})
    assert [see(t, seq, 0) for seq in range(MAX_GAP)] == [Sighting.LATE] * MAX_GAP


def test_heartbeat_with_a_wrong_number_changes_nothing() -> None:
    """One far ahead loses no part, and one from behind does not make the stream start again."""
    t = tracker()
    for seq in range(3):
        see(t, seq, 0)
    t.announce("line1/s1", "a", 5000, 10)
    t.announce("line1/s1", "a", 1, 10)
    assert see(t, 3, 20) is Sighting.NEW
    assert t.expire(10_000) == []


def test_heartbeat_reveals_lost_last_frames() -> None:
    """The loss of the last frames is seen without a further frame."""
    t = tracker()
    see(t, 0, 0)
    t.announce("line1/s1", "a", 3, 10)
    assert lost(t, 10 + WINDOW_NS) == [("a", 1), ("a", 2)]


def test_orphan_stands_for_the_gap_it_left() -> None:
    """A damaged message becomes the FAULT of the missing number, not a further trigger."""
    t = tracker()
    see(t, 0, 0)
    t.orphan("line1/s1", orphan(5))
    see(t, 2, 10)
    missing = t.expire(110)
    assert [m.key for m in missing] == [("a", 1)]
    assert missing[0].orphan is not None
    assert t.expire(10_000) == []


def test_orphan_without_a_gap_is_one_message_too_many() -> None:
    """An unreadable message between two good frames gets a FAULT of its own and costs no part its number."""
    t = tracker()
    see(t, 0, 0)
    t.orphan("line1/s1", orphan(5))
    see(t, 1, 10)
    assert lost(t, 10_000) == [(UNATTRIBUTED, 0)]


def test_orphan_at_the_end_takes_the_next_number() -> None:
    """A damaged last frame gets its FAULT although nothing follows it."""
    t = tracker()
    see(t, 0, 0)
    t.orphan("line1/s1", orphan(5))
    assert lost(t, 5 + 2 * WINDOW_NS) == [("a", 1)]
    assert see(t, 1, 400) is Sighting.LATE


def test_orphan_before_any_stream_is_answered() -> None:
    """An unreadable message from a camera never heard of gets its FAULT too."""
    t = tracker()
    t.orphan("line1/s1", orphan(0))
    assert lost(t, 2 * WINDOW_NS) == [(UNATTRIBUTED, 0)]


def announced(t: SequenceTracker, seq: int, due_ns: int, now_ns: int = 0) -> tuple[Sighting, list[int]]:
    return t.trigger("line1/s1", TriggerKey("a", seq), due_ns, now_ns, sure=False)


def test_announced_number_is_waited_for_until_its_deadline() -> None:
    """Neither a later frame nor the reorder window ends the wait. Its own deadline does, once."""
    t = tracker()
    assert announced(t, 0, 500) == (Sighting.NEW, [0])
    assert see(t, 1, 10) is Sighting.NEW
    assert lost(t, 499) == []
    assert lost(t, 500) == [("a", 0)]
    assert see(t, 0, 600) is Sighting.LATE
    assert lost(t, 10_000) == []


def test_frame_of_an_announced_number_is_new_and_ends_the_wait() -> None:
    """A second copy of it is a duplicate."""
    t = tracker()
    announced(t, 0, 500)
    assert see(t, 0, 10) is Sighting.NEW
    assert see(t, 0, 11) is Sighting.DUPLICATE
    assert t.expire(10_000) == []


def test_announced_again_or_too_late_opens_nothing() -> None:
    """A trigger message that is repeated, that follows its frame or its FAULT, opens nothing."""
    t = tracker()
    announced(t, 0, 500)
    assert announced(t, 0, 900) == (Sighting.DUPLICATE, [])
    see(t, 0, 10)
    assert announced(t, 0, 900) == (Sighting.DUPLICATE, [])
    announced(t, 1, 20)
    assert lost(t, 20) == [("a", 1)]
    assert announced(t, 1, 900) == (Sighting.LATE, [])


def test_number_announces_those_below_it() -> None:
    """A lost trigger message loses no part: the next one opens both."""
    t = tracker()
    see(t, 0, 0)
    assert announced(t, 3, 500) == (Sighting.NEW, [1, 2, 3])
    assert [see(t, seq, 50) for seq in (1, 3)] == [Sighting.NEW] * 2
    assert lost(t, 499) == []
    assert lost(t, 500) == [("a", 2)]


def test_skipped_number_that_is_announced_gets_its_own_deadline() -> None:
    """A trigger message overtaken by the next part's frame still counts."""
    t = tracker()
    see(t, 0, 0)
    see(t, 2, 0)
    assert announced(t, 1, 5000) == (Sighting.NEW, [1])
    assert lost(t, 4999) == []
    assert lost(t, 5000) == [("a", 1)]


def test_announced_stream_is_confirmed_by_its_second_message() -> None:
    """A flipped bit in a stream id invents no past here either. The line's own count is believed at once."""
    t = tracker()
    assert announced(t, 2, 5000) == (Sighting.NEW, [2])
    assert lost(t, 4999) == []
    see(t, 2, 4999)
    assert lost(t, 4999 + WINDOW_NS) == [("a", 0), ("a", 1)]
    assert t.trigger("control", TriggerKey("b", 2), 9000, 0, sure=True) == (Sighting.NEW, [0, 1, 2])


def test_announced_jump_is_believed_when_the_next_confirms_it() -> None:
    """A flipped bit in a number opens nothing. A confirmed jump opens the newest `max_gap` numbers."""
    t = tracker()
    see(t, 0, 0)
    assert announced(t, 5000, 500) == (Sighting.JUMP, [])
    assert announced(t, 1, 500) == (Sighting.NEW, [1])
    assert announced(t, 6000, 500) == (Sighting.JUMP, [])
    assert announced(t, 6001, 500) == (Sighting.NEW, list(range(5990, 6002)))


def test_orphan_stands_for_the_announced_number_that_is_due_first() -> None:
    """A damaged frame is the reason of its part's FAULT shortly before the deadline, and of no other's."""
    t = tracker()
    announced(t, 0, 10**9)
    announced(t, 1, 2 * 10**9)
    t.orphan("line1/s1", orphan(5))
    see(t, 1, 10)
    assert t.expire(10**9 - DAMAGED_EARLY_NS - 1) == []
    (missing,) = t.expire(10**9 - DAMAGED_EARLY_NS)
    assert (missing.key, missing.orphan) == (("a", 0), orphan(5))
    assert t.expire(10**12) == []


def test_orphan_takes_no_number_that_was_not_announced() -> None:
    """Where triggers are announced, an unreadable message after the last part is one message too many."""
    t = tracker()
    announced(t, 0, 10**9)
    see(t, 0, 0)
    t.orphan("line1/s1", orphan(5))
    assert lost(t, 10**9) == [(UNATTRIBUTED, 0)]


def test_flush_settles_everything() -> None:
    """At the end of a drain nothing stays open."""
    t = tracker()
    see(t, 0, 0)
    see(t, 3, 0)
    t.orphan("line1/s1", orphan(1))
    t.orphan("line1/s1", orphan(2))
    t.orphan("line1/s1", orphan(3))
    keys = [m.key for m in t.flush()]
    assert set(keys) == {("a", 1), ("a", 2), ("a", 4)}
    assert len(keys) == len(set(keys))


def test_busy_stream_is_not_forgotten_for_newer_ones() -> None:
    """However often another camera reboots, a stream that goes on is remembered: none of its parts counts twice."""
    t = tracker()
    see(t, 0, 0)
    for boot in range(2 * MAX_STREAMS):
        see(t, 0, boot, stream=f"other{boot}")
        assert see(t, 0, boot) is Sighting.DUPLICATE


def test_stream_that_owes_faults_is_not_forgotten() -> None:
    """A camera that reboots often owes its lost parts their FAULTs, also of the boot that it began with."""
    t = tracker()
    see(t, 0, 0)
    see(t, 2, 0)
    announced(t, 3, 10 * WINDOW_NS)
    for boot in range(2 * MAX_STREAMS):
        see(t, 0, 1, stream=f"boot{boot}")
    assert lost(t, WINDOW_NS) == [("a", 1)]
    assert lost(t, 10 * WINDOW_NS) == [("a", 3)]


def test_memory_of_forgotten_streams_is_bounded() -> None:
    """A camera that reboots for years does not fill the memory; the oldest streams of this boot go first."""
    streams = PastStreams({"recorded": PastNumbers.up_to(3, 0)})
    for boot in range(MAX_PAST + 2):
        streams.put(f"boot{boot}", PastNumbers.up_to(0, 0))
    assert streams.take("boot1") is None
    newest = streams.take(f"boot{MAX_PAST + 1}")
    assert newest is not None
    assert 0 in newest.numbers
    assert streams.take("recorded") is not None


def test_flood_of_unreadable_messages_is_settled_at_once() -> None:
    """Beyond a bound the oldest get their FAULT before their time: a broken camera does not fill the memory."""
    t = tracker()
    for _ in range(MAX_ORPHANS + 3):
        t.orphan("line1/s1", orphan(0))
    assert lost(t, 0) == [(UNATTRIBUTED, number) for number in range(3)]


def test_orphan_takes_no_number_that_the_wire_cannot_say() -> None:
    """After the last number that can be sent an unreadable message stands for no number."""
    t = tracker()
    see(t, MAX_COUNT, 0)
    t.orphan("line1/s1", orphan(5))
    assert lost(t, 10_000) == [(UNATTRIBUTED, 0)]


def test_jump_down_needs_two_successors() -> None:
    """Numbers never used, far below: two in order are believed no more than one; the camera may go on above."""
    t = tracker()
    for seq in (5000, 5001):
        see(t, seq, 0)
    assert [see(t, seq, 1) for seq in (100, 101)] == [Sighting.JUMP] * 2
    assert see(t, 5002, 2) is Sighting.NEW
    assert [see(t, seq, 3) for seq in (200, 201, 202, 203)] == [Sighting.JUMP] * 2 + [Sighting.NEW] * 2
    assert see(t, 5001, 4, trigger_ns=9) is Sighting.REUSED
    assert t.expire(10_000) == []


def test_stream_of_the_past_goes_on_behind_its_numbers() -> None:
    """A number that the ledger has is never new again, and one that was left out there is not lost now."""
    t = SequenceTracker(max_gap=MAX_GAP, window_ns=WINDOW_NS, past={"a": PastNumbers.up_to(6, 0)})
    early, late = Fingerprint(1, "p"), Fingerprint(2, "q")
    assert t.frame("cam", TriggerKey("a", 3), early, 10, fired_ns=-5) is Sighting.LATE
    assert t.frame("cam", TriggerKey("a", 6), late, 10, fired_ns=5) is Sighting.REUSED
    assert t.trigger("cam", TriggerKey("a", 2), 99, 10, sure=True) == (Sighting.LATE, [])
    assert t.expire(10 * WINDOW_NS) == []
    assert t.frame("cam", TriggerKey("a", 7), late, 10) is Sighting.NEW


def test_forgotten_stream_is_not_answered_again() -> None:
    """A stream that comes again after many others goes on where it was."""
    t = tracker()
    for seq in range(3):
        t.frame("cam", TriggerKey("a", seq), Fingerprint(seq, "p"), seq)
    for number in range(MAX_STREAMS + 5):
        t.frame("cam", TriggerKey(f"s{number}", 0), Fingerprint(0, "p"), 10 + number)
    assert [t.frame("cam", TriggerKey("a", seq), Fingerprint(seq, "p"), 500) for seq in range(4)] == [
        *[Sighting.REUSED] * 3,
        Sighting.NEW,
    ]
    assert t.expire(10**6) == []


SLOW_NS = 10 * WINDOW_NS


def test_one_number_too_far_on_a_slow_line_is_not_believed_before_the_next_part() -> None:
    """A flipped bit in an unsealed number, ten windows between the parts: the camera's own next number stands."""
    t = tracker()
    for seq in range(4):
        see(t, seq, seq * SLOW_NS)
    assert see(t, 6, 4 * SLOW_NS) is Sighting.NEW  # instead of 4
    assert lost(t, 5 * SLOW_NS - 1) == []
    assert see(t, 5, 5 * SLOW_NS) is Sighting.NEW
    assert lost(t, 100 * SLOW_NS) == [("a", 4)]


def test_sealed_gap_on_a_slow_line_is_believed_after_the_window() -> None:
    """Its number has been verified."""
    t = tracker()
    for seq in range(3):
        see(t, seq, seq * SLOW_NS)
    t.frame("line1/s1", TriggerKey("a", 4), Fingerprint(4, "p"), 3 * SLOW_NS, sealed=True)
    assert lost(t, 3 * SLOW_NS + WINDOW_NS) == [("a", 3)]


def test_heartbeat_that_is_taken_back_costs_nothing() -> None:
    """One flipped bit in `next_seq`, which no seal guards: the next heartbeat, a second later, says the truth."""
    t = tracker()
    see(t, 0, 0)
    for beat in range(1, 4):
        t.announce("line1/s1", "a", 1, beat * SLOW_NS)
    t.announce("line1/s1", "a", 3, 4 * SLOW_NS)
    assert lost(t, 5 * SLOW_NS - 1) == []
    t.announce("line1/s1", "a", 1, 5 * SLOW_NS)
    assert lost(t, 100 * SLOW_NS) == []
    assert see(t, 1, 101 * SLOW_NS) is Sighting.NEW


def test_long_gap_is_entered_in_steps() -> None:
    """A believed jump of 100,000 numbers: each step is short, every number is lost once, and late ones are known."""
    t = tracker()
    see(t, 0, 0)
    for seq in (MAX_JUMP, MAX_JUMP + 1):
        see(t, seq, 1)
    assert see(t, 50_000, 2) is Sighting.NEW  # late, but within the window
    found: list[int] = []
    while missing := t.expire(10 * WINDOW_NS):
        assert len(missing) <= 32
        found += [key.seq for key, _ in missing]
    assert len(found) == len(set(found))
    assert set(found) == set(range(1, MAX_JUMP + 1)) - {50_000}
    assert see(t, 77_777, 10 * WINDOW_NS) is not Sighting.NEW
