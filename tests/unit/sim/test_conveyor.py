"""The conveyor: the order of parts and the times of triggers."""

import itertools

import pytest

from cmfm_sim.conveyor import Conveyor, plan_triggers

from .made_values import FakeClock, lot


def test_parts_come_in_order_with_names_that_never_repeat() -> None:
    """A second pass over the same parts gives them other ids: a worker tells parts apart by them."""
    triggers = list(plan_triggers([lot(2, 1)], passes=2))
    assert [trigger.seq for trigger in triggers] == list(range(6))
    assert [trigger.files.defect for trigger in triggers] == ["good", "good", "hole"] * 2
    assert len({trigger.part_id for trigger in triggers}) == 6
    assert triggers[3].part_id == f"{triggers[0].part_id}#2"


def test_a_shuffled_feed_has_the_same_parts_in_the_order_of_its_seed() -> None:
    """Every pass is shuffled anew."""
    plain, shuffled, again, other = (
        [trigger.files.id for trigger in plan_triggers([lot(20)], passes=2, shuffle=seed)]
        for seed in (None, 1, 1, 2)
    )
    assert shuffled == again
    assert shuffled not in (plain, other)
    assert sorted(shuffled[:20]) == sorted(plain[:20])
    assert shuffled[:20] != shuffled[20:]


def test_triggers_fire_at_absolute_times_whatever_the_sender_does() -> None:
    """A slow sender does not move the later triggers: the feed is open loop."""
    clock = FakeClock()
    conveyor = Conveyor(10, clock, clock.sleep)
    conveyor.start()
    fired = []
    for seq in range(5):
        assert conveyor.wait_until(conveyor.due_ns(seq), lambda: False)
        fired.append(clock.now_ns)
        clock.sleep(0.25 if seq == 1 else 0.01)  # sending the second frame takes two periods and a half
    assert fired == [0, 100_000_000, 350_000_000, 360_000_000, 400_000_000]


def test_lateness_counts_from_the_scheduled_trigger() -> None:
    """Also without a wait."""
    clock = FakeClock()
    conveyor = Conveyor(10, clock, clock.sleep)
    conveyor.start()
    clock.sleep(0.25)
    assert conveyor.lateness_ms(1) == pytest.approx(150)


def test_a_sleep_that_returns_early_is_continued() -> None:
    """A camera's rest ends when a subscriber comes; the trigger must not fire early for it."""
    clock = FakeClock()
    conveyor = Conveyor(1, clock, lambda seconds: clock.sleep(seconds / 3))
    conveyor.start(0.5)
    assert conveyor.wait_until(conveyor.due_ns(0), lambda: False)
    assert clock.now_ns >= 500_000_000


def test_the_trigger_time_follows_the_clock_of_the_day() -> None:
    """Over hours the two clocks drift apart; latency is measured against CLOCK_REALTIME at the trigger."""
    clock = FakeClock()
    conveyor = Conveyor(2, clock, clock.sleep)
    conveyor.start()
    assert conveyor.trigger_ns(4) == clock.realtime_ns() + 2_000_000_000
    clock.offset_ns += 70_000_000
    assert conveyor.trigger_ns(4) == clock.realtime_ns() + 2_000_000_000


def test_a_stop_ends_the_waiting() -> None:
    """It returns False."""
    clock = FakeClock()
    conveyor = Conveyor(1, clock, clock.sleep)
    assert not conveyor.wait_until(10**12, lambda: clock.now_ns >= 10**9)


def test_a_belt_that_slips_waits_for_its_sender() -> None:
    """The triggers after a delay come later, one period apart; a delay within the allowance changes nothing."""
    clock = FakeClock()
    conveyor = Conveyor(10, clock, clock.sleep)
    conveyor.start()
    clock.sleep(0.15)  # trigger 1 was due at 0.1
    conveyor.slip(1, 0.1)
    assert conveyor.due_ns(1) == 100_000_000
    clock.sleep(0.35)
    conveyor.slip(1, 0.1)
    assert conveyor.due_ns(1) == 500_000_000
    assert conveyor.due_ns(2) == 600_000_000


def test_shuffled_passes_never_show_one_part_twice_in_a_row() -> None:
    """The worker takes the same bytes twice in a row for a frozen frame grabber."""
    for seed in range(20):
        ids = [trigger.files.id for trigger in plan_triggers([lot(3)], passes=10, shuffle=seed)]
        assert all(first != second for first, second in itertools.pairwise(ids))
