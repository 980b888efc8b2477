"""Which results a subscriber has had and which it has missed."""

from cmfm_sim.result_order import HadBefore, Missing, ResultOrder


def take(order: ResultOrder, *ids: int, boot_id: str = "boot") -> list[bool]:
    return [order.take(boot_id, result_id) for result_id in ids]


def test_a_restarted_subscriber_goes_on_where_it_ended() -> None:
    """After the newest result it had; after a restart of the worker with its first."""
    order = ResultOrder(from_start=False, had=HadBefore("boot", 7))
    assert order.missing_before("boot", 10) == Missing("boot", 8, 9)
    order = ResultOrder(from_start=False, had=HadBefore("former", 7))
    assert order.missing_before("boot", 3) == Missing("boot", 1, 2)


def test_results_in_a_row_miss_nothing() -> None:
    """Each is new."""
    order = ResultOrder(from_start=True)
    assert take(order, 1, 2, 3) == [True] * 3
    assert order.missing_before("boot", 4) is None


def test_a_gap_is_named() -> None:
    """From the first missing id to the last."""
    order = ResultOrder(from_start=True)
    take(order, 1, 2)
    assert order.missing_before("boot", 6) == Missing("boot", 3, 5)


def test_a_result_that_was_had_is_not_new() -> None:
    """Recovered and live copies of one result count once."""
    order = ResultOrder(from_start=True)
    assert take(order, 1, 2, 2, 1, 3) == [True, True, False, False, True]


def test_a_late_joiner_has_missed_nothing_unless_it_wants_all() -> None:
    """Its first result says where it joined."""
    assert ResultOrder(from_start=False).missing_before("boot", 57) is None
    assert ResultOrder(from_start=True).missing_before("boot", 57) == Missing("boot", 1, 56)


def test_a_heartbeat_joins_as_a_result_does() -> None:
    """What was published before it is not missed; what was published after it and before the first result is."""
    order = ResultOrder(from_start=False)
    order.heard_of("boot", 10)
    assert order.missing_before("boot", 11) is None
    assert order.missing_before("boot", 13) == Missing("boot", 11, 12)


def test_a_worker_that_starts_again_is_followed_from_its_first_result() -> None:
    """Its ids count from 1 again, and nothing of it was there before us."""
    order = ResultOrder(from_start=False)
    take(order, 57, 58)
    assert order.missing_before("second boot", 3) == Missing("second boot", 1, 2)
    assert take(order, 1, boot_id="second boot") == [True]
    assert order.boot_id == "second boot"
