"""Fault plans: their text, and their schedule from a seed."""

import pytest

from cmfm_sim.errors import InputError
from cmfm_sim.faults import Fault, FaultAmount, FaultKind, FaultPlan


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("", ()),
        ("drop=0.02", (FaultAmount(Fault(FaultKind.DROP), share=0.02),)),
        ("corrupt=3", (FaultAmount(Fault(FaultKind.CORRUPT), count=3),)),
        ("drop=1.0", (FaultAmount(Fault(FaultKind.DROP), share=1.0),)),
        ("stall=1:0.5s", (FaultAmount(Fault(FaultKind.STALL, 0.5), count=1),)),
        ("stall=2:250ms", (FaultAmount(Fault(FaultKind.STALL, 0.25), count=2),)),
        ("late=1", (FaultAmount(Fault(FaultKind.LATE, 2.0), count=1),)),
        (
            " drop=0.1 , version=1 ",
            (FaultAmount(Fault(FaultKind.DROP), share=0.1), FaultAmount(Fault(FaultKind.VERSION), count=1)),
        ),
    ],
)
def test_a_plan_is_read_as_it_is_documented(text: str, amounts: tuple[FaultAmount, ...]) -> None:
    """KIND=AMOUNT[:DURATION], a share with a decimal point and a count without."""
    assert FaultPlan.parse(text).amounts == amounts


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("drop", "'drop' is not KIND=AMOUNT"),
        ("drop=-1", "'drop=-1' is not"),
        ("lose=0.1", "'lose' is unknown; there are drop"),
        ("drop=1.5", "between 0.0 and 1.0"),
        ("drop=0.1,drop=0.2", "drop twice"),
        ("drop=0.6,corrupt=0.6", "more than 1"),
        ("drop=1:2s", "only stall, late"),
        ("stall=1:2", "'stall=1:2' is not"),
    ],
)
def test_an_invalid_plan_names_its_bad_item(text: str, named: str) -> None:
    """With the values that are expected."""
    with pytest.raises(InputError, match=named):
        FaultPlan.parse(text)


def test_the_same_seed_plans_the_same_faults_and_another_seed_others() -> None:
    """A failing run can be repeated from its seed."""
    text = "drop=0.1,corrupt=5,late=0.05"
    first, again = FaultPlan.parse(text, 3).schedule(500), FaultPlan.parse(text, 3).schedule(500)
    assert first == again
    assert first != FaultPlan.parse(text, 4).schedule(500)


def test_amounts_are_met() -> None:
    """Counts exactly, shares in the mean."""
    schedule = FaultPlan.parse("corrupt=7,drop=0.2,stall=1:1s", 1).schedule(5000)
    kinds = [fault.kind for fault in schedule.values()]
    assert kinds.count(FaultKind.CORRUPT) == 7
    assert kinds.count(FaultKind.STALL) == 1
    assert 900 < kinds.count(FaultKind.DROP) < 1100
    assert set(schedule) <= set(range(5000))


def test_a_share_of_one_hits_every_trigger() -> None:
    """drop=1.0 loses everything."""
    assert len(FaultPlan.parse("drop=1.0").schedule(50)) == 50


def test_another_share_of_one_fault_does_not_move_the_counted_ones() -> None:
    """Plans can be compared: the counted faults stay at their triggers."""
    one, two = (FaultPlan.parse(f"corrupt=3,drop={share}", 9).schedule(200) for share in ("0.1", "0.2"))
    assert {s for s, f in one.items() if f.kind is FaultKind.CORRUPT} == {
        s for s, f in two.items() if f.kind is FaultKind.CORRUPT
    }


def test_more_faults_than_triggers_are_refused() -> None:
    """A plan that cannot be carried out whole is an error."""
    with pytest.raises(InputError, match="5 faults, but there are 3"):
        FaultPlan.parse("drop=5").schedule(3)


def test_a_late_frame_within_its_deadline_is_refused() -> None:
    """Such a frame could be inspected in time; the account would then blame the worker."""
    FaultPlan.parse("late=1:2s").check_deadline(1000)
    with pytest.raises(InputError, match="not past the deadline of 3000 ms"):
        FaultPlan.parse("late=1:2s").check_deadline(3000)
