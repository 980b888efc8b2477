"""The accounting identity under every order of events."""

import random

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import Trigger, TriggerKey
from cmfm_worker.line.verdicts.account import Account


def trigger(seq: int, deadline_ns: int = 100) -> Trigger:
    return Trigger(TriggerKey("a", seq), f"p{seq}", "r", "", 0, 0, deadline_ns, simulated=True)


def test_each_trigger_is_closed_once() -> None:
    """The first verdict stands; a second is refused."""
    account = Account()
    assert account.open(trigger(1))
    assert account.close(TriggerKey("a", 1)) is not None
    assert account.close(TriggerKey("a", 1)) is None


def test_opening_twice_counts_once() -> None:
    """A trigger that is open already is not entered again."""
    account = Account()
    account.open(trigger(1))
    assert not account.open(trigger(1))
    assert account.counts.triggers == 1


def test_overdue_names_open_triggers_in_order_of_deadline() -> None:
    """Only triggers without a verdict are overdue, earliest first, each named once."""
    account = Account()
    for seq, deadline_ns in ((1, 30), (2, 10), (3, 20)):
        account.open(trigger(seq, deadline_ns))
    account.close(TriggerKey("a", 3))
    assert account.next_deadline_ns() == 10
    assert [key.seq for key in account.overdue(25)] == [2]
    assert [key.seq for key in account.overdue(30)] == [1]
    assert account.overdue(30) == []


def test_frame_may_bring_a_deadline_forward_and_never_back() -> None:
    """What is known of an open trigger is replaced; of one that has its verdict, nothing is."""
    account = Account()
    account.open(trigger(1, 30))
    account.open(trigger(2, 40))
    assert account.replace(trigger(2, 20))
    assert account.next_deadline_ns() == 20
    assert [key.seq for key in account.overdue(50)] == [2, 1]
    assert account.counts.triggers == 2
    account.close(TriggerKey("a", 1))
    assert not account.replace(trigger(1, 30))
    assert account.open_count == 1


def test_identity_holds_at_every_step() -> None:
    """triggers = verdicts + open, whatever happens in whatever order."""
    rng = random.Random(7)
    account = Account()
    for step in range(2000):
        if rng.random() < 0.6:
            account.open(trigger(rng.randrange(500), step + rng.randrange(50)))
        else:
            closed = account.close(TriggerKey("a", rng.randrange(500)))
            if closed is not None:
                account.book(rng.choice(list(Verdict)), Reason.LOST)
        assert account.holds
