"""Halves of two devices become pairs of one trigger, or none: the rules, with time and events as arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from cmfm_cameras.capture import NO_PICTURE, NO_POINTS, Capture
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.pairing.by_name import NamePairing
from cmfm_cameras.pairing.by_trigger import Rule, TriggerPairing
from cmfm_cameras.pairing.half import Cause, Half, Outcome, Pair, Side, Single

MS = 1_000_000
EPOCH = {Side.PICTURE: 5_000_000 * MS, Side.DEPTH: 900 * MS}
"""Devices' clocks start anywhere."""


@dataclass
class Rig:
    """Two devices that a trigger fires every `period_ms`; the truth is in each capture's `encoder`."""

    rule: Rule
    synchronised: bool = False
    drift: float = 50e-6
    bits: int = 64
    outcomes: list[Outcome] = field(default_factory=list)
    frame_ids: dict[Side, int] = field(default_factory=lambda: {Side.PICTURE: 7, Side.DEPTH: 250})
    trigger_ids: dict[Side, int] = field(default_factory=lambda: {Side.PICTURE: 40, Side.DEPTH: 40})

    def __post_init__(self) -> None:
        ids = {side: FrameIds(self.bits) for side in Side}
        self.pairing = TriggerPairing(self.rule, ids, window_ns=2 * MS, wait_ns=50 * MS)

    def fire(self, at_ms: float, *, lost: str = "", unseen: str = "", jitter_ms: float = 0.0) -> None:
        """One trigger. A device in `lost` counts it and delivers nothing; one in `unseen` does not even count it."""
        for side in Side:
            if side in unseen:
                continue
            self.frame_ids[side] = (self.frame_ids[side] + 1) % 2**self.bits
            self.trigger_ids[side] += 1
            if side not in lost:
                self.deliver(side, at_ms, jitter_ms if side is Side.DEPTH else 0.0)

    def deliver(self, side: Side, at_ms: float, jitter_ms: float) -> None:
        arrived_ns = int((at_ms + (8 if side is Side.PICTURE else 20)) * MS)
        rate = 1 + (self.drift if side is Side.DEPTH else 0)
        taken_ns = int((at_ms * rate + jitter_ms) * MS)
        capture = Capture(
            NO_PICTURE,
            NO_POINTS,
            frame_id=self.frame_ids[side],
            trigger_ns=taken_ns if self.synchronised else None,
            device_ns=taken_ns + EPOCH[side],
            trigger_id=self.trigger_ids[side],
            encoder=int(at_ms),
        )
        self.outcomes += self.pairing.expire(arrived_ns)
        self.outcomes += self.pairing.offer(Half(side, capture, arrived_ns))

    def rest(self, at_ms: float) -> None:
        self.outcomes += self.pairing.expire(int(at_ms * MS))

    def pairs(self) -> list[Pair]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Pair)]

    def causes(self) -> list[Cause]:
        return [outcome.cause for outcome in self.outcomes if isinstance(outcome, Single)]

    def all_right(self) -> bool:
        """No pair of two triggers."""
        return all(pair.picture.capture.encoder == pair.depth.capture.encoder for pair in self.pairs())


RULES = [
    pytest.param("trigger_id", False, id="trigger_id"),
    pytest.param("frame_id", False, id="frame_id"),
    pytest.param("frame_id", True, id="frame_id_ptp"),
    pytest.param("timestamp", True, id="timestamp"),
]


@pytest.mark.parametrize(("rule", "synchronised"), RULES)
def test_every_trigger_is_a_pair(rule: Rule, synchronised: bool) -> None:
    """Clocks of any epoch that drift apart, ids that start anywhere: each trigger is one pair, in order."""
    rig = Rig(rule, synchronised)
    for number in range(200):
        rig.fire(1000 + 100 * number)
    rig.rest(22_000)
    assert len(rig.pairs()) == 200
    assert rig.all_right()
    assert all(
        before.picture.arrived_ns < after.picture.arrived_ns for before, after in pairwise(rig.pairs())
    )


@pytest.mark.parametrize("side", ["picture", "depth"])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(("rule", "synchronised"), RULES)
def test_a_lost_half_never_shifts_the_pairs(rule: Rule, synchronised: bool, counted: bool, side: str) -> None:
    """One device loses a frame, counted or not: that trigger is no pair, and no pair is of two triggers."""
    rig = Rig(rule, synchronised)
    for number in range(60):
        lost = {"lost" if counted else "unseen": side} if number in (5, 30, 31, 59) else {}
        rig.fire(1000 + 100 * number, **lost)  # type: ignore[arg-type]
    rig.rest(9000)
    assert rig.all_right()
    assert len(rig.outcomes) == 60
    if counted or rule == "timestamp":
        assert len(rig.pairs()) == 56
    elif rule == "frame_id":  # the first pair whose numbers disagree with its times is given up too
        assert len(rig.pairs()) == 54
        assert Cause.SHIFTED in rig.causes()
    else:  # trigger ids that disagree with the times stay so
        assert len(rig.pairs()) == 5
        assert Cause.SHIFTED in rig.causes()


@pytest.mark.parametrize("rule", ["trigger_id", "frame_id"])
def test_a_start_between_triggers_that_are_too_close_is_not_believed(rule: Rule) -> None:
    """Without synchronised clocks a first pair counts only if it is alone; a pause starts it."""
    rig = Rig(rule)
    rig.trigger_ids = {Side.PICTURE: 0, Side.DEPTH: 1}  # the devices were armed at different triggers
    rig.fire(1000, unseen="depth")
    for number in range(1, 10):
        rig.fire(1000 + 30 * number)  # faster than the wait of 50 ms
    assert rig.pairs() == []
    rig.trigger_ids = {Side.PICTURE: 20, Side.DEPTH: 20}
    for number in range(10):
        rig.fire(2000 + 30 * number if number else 1600)
    rig.rest(4000)
    assert set(rig.causes()) == {Cause.UNKNOWN_START}
    assert len(rig.pairs()) == 10
    assert rig.all_right()


@pytest.mark.parametrize("rule", ["trigger_id", "frame_id"])
def test_devices_that_were_armed_at_different_triggers_are_not_paired(rule: Rule) -> None:
    """The picture camera misses the first trigger; the first pair is the second trigger's, whatever the ids say."""
    rig = Rig(rule)
    rig.fire(1000, unseen="picture")
    for number in range(1, 20):
        rig.fire(1000 + 100 * number)
    rig.rest(4000)
    assert rig.all_right()
    assert len(rig.pairs()) == (19 if rule == "frame_id" else 0)


def test_frames_that_both_lost_are_counted() -> None:
    """Frame ids say it: the pair after them carries how many triggers were lost before it."""
    rig = Rig("frame_id")
    for number in range(10):
        rig.fire(1000 + 100 * number, lost="picture depth" if number in (4, 5) else "")
    rig.rest(4000)
    assert [pair.lost_before for pair in rig.pairs()] == [0, 0, 0, 0, 2, 0, 0, 0]


def test_ids_that_wrap_are_no_loss() -> None:
    """Eight bits wrap within the run, at a different trigger for each device."""
    rig = Rig("frame_id", bits=8)
    for number in range(300):
        rig.fire(1000 + 100 * number)
    rig.rest(40_000)
    assert len(rig.pairs()) == 300
    assert not any(pair.lost_before for pair in rig.pairs())


@pytest.mark.parametrize("late_ms", [3.0, -3.0])
@pytest.mark.parametrize(("rule", "synchronised"), RULES)
def test_times_outside_the_window_are_two_triggers(rule: Rule, synchronised: bool, late_ms: float) -> None:
    """Numbers that agree do not help a pair whose times do not."""
    rig = Rig(rule, synchronised)
    for number in range(20):
        rig.fire(1000 + 100 * number, jitter_ms=late_ms if number == 10 else 0.5)
    rig.rest(4000)
    assert rig.all_right()
    assert not any(pair.picture.capture.encoder == 2000 for pair in rig.pairs())
    assert len(rig.pairs()) == 19


def test_triggers_that_the_window_cannot_tell_apart_are_refused() -> None:
    """By time alone a window of 2 ms does not separate triggers 3 ms apart."""
    rig = Rig("timestamp", synchronised=True)
    for at_ms in (1000, 1003, 1006, 1100):
        rig.fire(at_ms)
    assert rig.causes() == [Cause.TOO_DENSE, Cause.TOO_DENSE]
    assert [pair.picture.capture.encoder for pair in rig.pairs()] == [1000, 1100]


def test_a_long_pause_in_which_clocks_drift_starts_anew() -> None:
    """After a minute free clocks may be 12 ms apart: the next pair is believed only if it is alone."""
    rig = Rig("frame_id", drift=190e-6)
    for at_ms in (1000, 1100, 61_000, 61_100, 61_200, 122_000, 122_030, 122_060, 123_000, 123_100):
        rig.fire(at_ms)
    rig.rest(124_000)
    assert rig.all_right()
    assert [pair.picture.capture.encoder for pair in rig.pairs()] == [
        1000,
        1100,
        61_000,
        61_100,
        61_200,
        123_000,
        123_100,
    ]


@pytest.mark.parametrize(
    ("rule", "capture", "word"),
    [
        ("timestamp", {"device_ns": 1}, "not synchronised"),
        ("trigger_id", {"device_ns": 1}, "number of its trigger"),
        ("frame_id", {"device_ns": 1}, "frame id"),
        ("frame_id", {"frame_id": 1}, "time of its own"),
    ],
)
def test_a_device_that_lacks_the_evidence_is_refused(rule: Rule, capture: dict[str, int], word: str) -> None:
    """The message says what the rule needs."""
    pairing = TriggerPairing(rule, {side: FrameIds() for side in Side}, window_ns=MS, wait_ns=MS)
    fields = {"frame_id": None, "trigger_ns": None, **capture}
    (single,) = pairing.offer(Half(Side.DEPTH, Capture(NO_PICTURE, NO_POINTS, **fields), 0))  # type: ignore[arg-type]
    assert isinstance(single, Single)
    assert word in single.detail


def named(side: Side, part_id: str, at_ms: int) -> Half:
    capture = Capture(
        np.zeros((1, 1, 3), np.uint8), NO_POINTS, frame_id=None, trigger_ns=None, part_id=part_id
    )
    return Half(side, capture, at_ms * MS)


def test_files_pair_by_name() -> None:
    """In any order; a name whose other half does not come is given up, and one that comes twice is two parts."""
    pairing = NamePairing(wait_ns=100 * MS)
    assert pairing.offer(named(Side.DEPTH, "b", 0)) == []
    assert pairing.offer(named(Side.PICTURE, "a", 1)) == []
    (pair,) = pairing.offer(named(Side.PICTURE, "b", 2))
    assert isinstance(pair, Pair)
    assert (pair.picture.side, pair.depth.side) == (Side.PICTURE, Side.DEPTH)
    assert pairing.expire(99 * MS) == []
    (single,) = pairing.expire(101 * MS)
    assert isinstance(single, Single)
    assert (single.cause, single.half.capture.part_id) == (Cause.MISSING, "a")
    pairing.offer(named(Side.DEPTH, "c", 200))
    assert [type(outcome) for outcome in pairing.offer(named(Side.DEPTH, "c", 201))] == [Single]
    assert [type(outcome) for outcome in pairing.flush()] == [Single]
