"""The account: triggers are opened once and closed once, and deadlines come due in order."""

import pytest
from tests.unit.made.verdicts import trigger

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import TriggerKey
from cmfm_worker.line.verdicts.account import Account


def key(seq: int) -> TriggerKey:
    return TriggerKey("cam", seq)


def overdue(account: Account, now_ns: int) -> list[int]:
    return [late.key.seq for late in account.overdue(now_ns)]


def test_trigger_is_closed_once() -> None:
    """A trigger that has its verdict is not found any more, and cannot be closed again."""
    account = Account()
    assert account.open(trigger(1, 100))
    account.close(key(1), Verdict.PASS, Reason.BELOW_THRESHOLD)
    assert account.find(key(1)) is None
    with pytest.raises(KeyError):
        account.close(key(1), Verdict.PASS, Reason.BELOW_THRESHOLD)
    assert (account.totals.closed, account.totals.open) == (1, 0)


def test_opening_twice_counts_once() -> None:
    """A trigger that is open already is not entered again."""
    account = Account()
    account.open(trigger(1, 100))
    assert not account.open(trigger(1, 100))
    assert account.totals.triggers == 1


def test_open_triggers_are_overdue_in_order_of_deadline() -> None:
    """Only triggers without a verdict are overdue, earliest first, each once."""
    account = Account()
    for seq, deadline_ns in ((1, 30), (2, 10), (3, 20)):
        account.open(trigger(seq, deadline_ns))
    account.close(key(3), Verdict.PASS, Reason.BELOW_THRESHOLD)
    assert account.next_deadline_ns() == 10
    assert overdue(account, 25) == [2]
    assert overdue(account, 30) == [1]
    assert overdue(account, 30) == []


def test_frame_moves_a_deadline_forward_and_never_back() -> None:
    """The earlier of two deadlines counts. A trigger that has its verdict is not updated."""
    account = Account()
    account.open(trigger(1, 30))
    account.open(trigger(2, 40))
    assert account.update(trigger(2, 20))
    assert account.update(trigger(1, 1000))
    assert account.next_deadline_ns() == 20
    assert overdue(account, 50) == [2, 1]
    assert account.totals.triggers == 2
    account.close(key(1), Verdict.FAULT, Reason.LOST)
    assert not account.update(trigger(1, 30))
    assert account.open_keys() == [key(2)]


def test_totals_once_read_do_not_change() -> None:
    """A reader keeps the counts of one instant, whatever is counted later."""
    account = Account()
    account.open(trigger(1, 100))
    before = account.totals
    account.close(key(1), Verdict.FAIL, Reason.ABOVE_THRESHOLD)
    account.notice("duplicate", 2)
    assert (before.open, before.closed, dict(before.reasons), dict(before.noticed)) == (1, 0, {}, {})
    assert (account.totals.open, account.totals.closed, account.totals.noticed["duplicate"]) == (0, 1, 2)
