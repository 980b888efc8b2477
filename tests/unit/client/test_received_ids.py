"""Which results a subscriber has received, and which it still wants."""

import pytest

from cmfm_client.received_ids import IdRange, Missing, ReceivedIds, ResultOrder


def take(order: ResultOrder, *ids: int, boot_id: str = "boot") -> list[bool]:
    return [order.take(boot_id, result_id) for result_id in ids]


def test_restarted_subscriber_continues_where_it_ended() -> None:
    """After the newest result that it received, with the gaps of its earlier run."""
    order = ResultOrder(from_start=False, received={"boot": ReceivedIds(7, [IdRange(3, 4)])})
    order.expect("boot", 9)
    assert order.owed("boot") == [Missing("boot", 3, 4), Missing("boot", 8, 9)]


def test_restarted_subscriber_follows_a_restarted_worker_from_its_first_result() -> None:
    """Ids of the new boot count from 1."""
    order = ResultOrder(from_start=False, received={"former": ReceivedIds(7)})
    assert order.is_new("boot")
    order.expect("boot", 2)
    assert order.owed("boot") == [Missing("boot", 1, 2)]


def test_results_in_a_row_miss_nothing() -> None:
    """Each is new."""
    order = ResultOrder(from_start=True)
    assert take(order, 1, 2, 3) == [True] * 3
    assert order.owed("boot") == []


def test_gap_is_owed_from_its_first_id_to_its_last() -> None:
    """A result shows the gap before it."""
    order = ResultOrder(from_start=True)
    take(order, 1, 2, 6)
    assert order.owed("boot") == [Missing("boot", 3, 5)]


def test_result_of_a_gap_is_new_once() -> None:
    """Recovered and live copies of one result count once; the rest of the gap stays owed."""
    order = ResultOrder(from_start=True)
    assert take(order, 1, 6, 4, 4, 1, 6) == [True, True, True, False, False, False]
    assert order.owed("boot") == [Missing("boot", 2, 3), Missing("boot", 5, 5)]


def test_given_up_results_are_wanted_no_longer() -> None:
    """Those that came in the meantime are not among them."""
    order = ResultOrder(from_start=True)
    take(order, 1, 6, 4)
    assert order.give_up(Missing("boot", 2, 5)) == [Missing("boot", 2, 3), Missing("boot", 5, 5)]
    assert order.owed("boot") == []
    assert take(order, 3) == [False]


@pytest.mark.parametrize(("from_start", "owed"), [(False, []), (True, [Missing("boot", 1, 56)])])
def test_late_subscriber_has_missed_nothing_unless_it_wants_all(
    from_start: bool, owed: list[Missing]
) -> None:
    """Its first result says where it joined."""
    order = ResultOrder(from_start=from_start)
    assert take(order, 57) == [True]
    assert order.owed("boot") == owed


def test_heartbeat_joins_as_a_result_does() -> None:
    """Results published before it are not missed; those between it and the first result are."""
    order = ResultOrder(from_start=False)
    assert not order.expect("boot", 10)
    assert not order.expect("boot", 10)
    assert order.expect("boot", 12)
    assert order.owed("boot") == [Missing("boot", 11, 12)]


def test_restarted_worker_is_followed_from_its_first_result() -> None:
    """Its ids count from 1 again."""
    order = ResultOrder(from_start=False)
    take(order, 57, 58)
    assert order.expect("second boot", 2)
    assert order.owed("second boot") == [Missing("second boot", 1, 2)]
    assert take(order, 1, boot_id="second boot") == [True]
    assert (order.boot_id, order.newest("boot")) == ("second boot", 58)
