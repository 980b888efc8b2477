"""The outbox sends every number in order, confirms only what is acknowledged, and marks what may come twice."""

import random
from dataclasses import replace

from tests.unit.made.verdicts import result

from cmfm_gateway.mqtt.outbox import Outbox
from cmfm_gateway.store import StoredResult


def stored(*numbers: int) -> list[StoredResult]:
    return [StoredResult(number, replace(result(1), result_id=number), 1, stale=False) for number in numbers]


def numbers(outbox: Outbox, *found: int) -> list[tuple[int, bool]]:
    return [(outgoing.stored.number, outgoing.repeated) for outgoing in outbox.take(stored(*found))]


def test_results_go_once_and_in_order() -> None:
    """Fresh results are not marked, and the store is read on behind them."""
    outbox = Outbox(confirmed=0, attempted=0, window=10)

    assert numbers(outbox, 1, 2, 3) == [(1, False), (2, False), (3, False)]
    assert (outbox.next_after, outbox.confirmed, outbox.attempted) == (3, 0, 3)


def test_no_more_are_in_flight_than_the_window_holds() -> None:
    """A result without room is not taken, and is read again when something was acknowledged."""
    outbox = Outbox(confirmed=0, attempted=0, window=2)

    assert numbers(outbox, 1, 2, 3) == [(1, False), (2, False)]
    assert outbox.room == 0
    outbox.settle(1)
    assert outbox.room == 1
    assert outbox.next_after == 2


def test_only_an_unbroken_prefix_is_confirmed() -> None:
    """An acknowledgement that overtakes another confirms nothing: the one before could still be lost."""
    outbox = Outbox(confirmed=0, attempted=0, window=10)
    outbox.take(stored(1, 2, 3))

    assert not outbox.settle(2)
    assert not outbox.settle(3)
    assert outbox.confirmed == 0
    assert outbox.settle(1)
    assert outbox.confirmed == 3


def test_what_was_in_flight_comes_again_and_is_marked() -> None:
    """After the end of a connection everything unconfirmed is sent again as repeated, also what was acknowledged."""
    outbox = Outbox(confirmed=0, attempted=0, window=10)
    outbox.take(stored(1, 2, 3))
    outbox.settle(1)
    outbox.settle(3)
    outbox.rewind()

    assert outbox.next_after == 1
    assert numbers(outbox, 2, 3, 4) == [(2, True), (3, True), (4, False)]


def test_a_restart_marks_what_may_have_been_sent() -> None:
    """Of two stored marks, the first says where to go on, the second what to mark."""
    outbox = Outbox(confirmed=5, attempted=7, window=10)

    assert numbers(outbox, 6, 7, 8) == [(6, True), (7, True), (8, False)]


def test_numbers_that_the_store_no_longer_has_are_counted() -> None:
    """A subscriber's record may have a gap only if the counter says so."""
    outbox = Outbox(confirmed=2, attempted=2, window=10)
    outbox.take(stored(6, 7, 9))

    assert outbox.take_dropped() == 4
    assert outbox.take_dropped() == 0
    outbox.settle(6)
    outbox.settle(7)
    assert outbox.confirmed == 7


def test_an_acknowledgement_from_before_a_rewind_changes_nothing() -> None:
    """Numbers that are not in flight are not confirmed."""
    outbox = Outbox(confirmed=0, attempted=0, window=10)
    outbox.take(stored(1, 2))
    outbox.rewind()

    assert not outbox.settle(1)
    assert outbox.confirmed == 0


def test_whatever_fails_every_number_is_delivered_and_every_repetition_is_marked() -> None:
    """Runs with crashes, lost connections and acknowledgements in any order; the store's marks survive."""
    for seed in range(150):
        chance = random.Random(seed)
        delivered: dict[int, int] = {}
        outbox, last = Outbox(confirmed=0, attempted=0, window=chance.randint(1, 5)), 20
        while outbox.confirmed < last:
            batch = outbox.take(stored(*range(outbox.next_after + 1, last + 1)))
            marks = (outbox.confirmed, outbox.attempted)  # durable before anything is sent
            for outgoing in batch[: chance.randint(0, len(batch))]:
                number = outgoing.stored.number
                assert outgoing.repeated or number not in delivered, (
                    f"seed {seed}: {number} twice, not marked"
                )
                delivered[number] = delivered.get(number, 0) + 1
            flying = [number for number in delivered if number > outbox.confirmed]
            for number in chance.sample(flying, chance.randint(0, len(flying))):
                outbox.settle(number)
            if chance.random() < 0.3:
                outbox = Outbox(confirmed=marks[0], attempted=marks[1], window=3)
            elif chance.random() < 0.6:
                outbox.rewind()

        assert sorted(delivered) == list(range(1, last + 1)), f"seed {seed}"
