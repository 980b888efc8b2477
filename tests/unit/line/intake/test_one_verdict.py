"""Whatever cameras send, no number of a stream is opened twice, and every readable part is new, counted or a FAULT."""

import random

import pytest

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.sequence import Missing, Orphan, SequenceTracker
from cmfm_worker.line.intake.used_numbers import Fingerprint, PastNumbers, Sighting
from cmfm_worker.line.messages import TriggerKey

CAMERAS = ("left", "right")


class Opened:
    """The numbers that were opened; each only once."""

    def __init__(self) -> None:
        self.keys: set[TriggerKey] = set()

    def add(self, key: TriggerKey) -> None:
        assert key not in self.keys, key
        self.keys.add(key)


@pytest.mark.parametrize("seed", range(10))
def test_no_number_is_opened_twice(seed: int) -> None:
    """Frames, trigger messages and heartbeats with numbers that wander, jump, repeat and wrap, from two cameras."""
    rng = random.Random(seed)
    answered = dict.fromkeys(sorted(rng.sample(range(40), 20)), -1)
    complete = rng.random() < 0.5
    tracker = SequenceTracker(
        max_gap=rng.choice([3, 20, 100]),
        window_ns=100,
        resume={"a": answered} if complete else {},
        past={"a": PastNumbers.up_to(max(answered), -1)},
    )
    opened, announced = Opened(), set[TriggerKey]()
    for seq in answered:
        opened.add(TriggerKey("a", seq))
    now_ns, seq = 0, 40
    for _ in range(800):
        now_ns += rng.choice([1, 10, 300])
        seq = max(
            0, seq + rng.choices([1, 0, 2, -1, 15, -15, 300, -300, 5000], [60, 5, 5, 5, 3, 3, 1, 1, 1])[0]
        )
        key = TriggerKey(rng.choices(["a", "b"], [9, 1])[0], seq)
        source = rng.choices(CAMERAS, [19, 1])[0]
        kind = rng.choices(["frame", "trigger", "heartbeat"], [8, 2, 1])[0]
        if kind == "frame":
            print_ = Fingerprint(now_ns - rng.choice([0, 0, 500]), f"p{rng.randrange(3)}")
            fired_ns = rng.choice([None, print_.trigger_ns])
            sealed = rng.random() < 0.5
            sighting = tracker.frame(source, key, print_, now_ns, sealed=sealed, fired_ns=fired_ns)
            if sighting is Sighting.NEW:
                if key not in announced:
                    opened.add(key)
                announced.discard(key)
            elif sighting is Sighting.JUMP:
                tracker.orphan(source, Orphan(Reason.MALFORMED, "", now_ns, now_ns))
        elif kind == "trigger":
            sighting, numbers = tracker.trigger(source, key, now_ns + 400, now_ns, sure=rng.random() < 0.2)
            for number in numbers:
                opened.add(TriggerKey(key.stream_uuid, number))
                announced.add(TriggerKey(key.stream_uuid, number))
        else:
            tracker.announce(source, key.stream_uuid, seq + rng.choice([0, 1]), now_ns)
        settle(tracker.expire(now_ns), opened, announced)
    settle(tracker.flush(), opened, announced)
    assert tracker.flush() == []
    assert announced == set()


def settle(missing: list[Missing], opened: Opened, announced: set[TriggerKey]) -> None:
    for key, _ in missing:
        if key in announced:
            announced.discard(key)
        else:
            opened.add(key)
