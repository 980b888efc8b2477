"""Judges of the long runs: each finds its fault (an account that does not add up, a leak, a mixed verdict)."""

from dataclasses import replace

import numpy as np
import pytest
from tests.made_results import PASS as GOOD_PART

from cmfm_client.events import Received
from cmfm_protocol.wire.state import WorkerState

from .load.changes import Load, Witness
from .load.tally import Tally
from .load.trend import Drift, Slope
from .long_overload import figures, problems_of

PASS = replace(GOOD_PART, stream_uuid="cam", part_id="part0#0", model_sha="m1")


def fired(count: int) -> Tally:
    """A camera that fired `count` parts, 1 ms apart, each due after 10 ms."""
    tally = Tally()
    tally.stream_uuid = "cam"
    for seq in range(count):
        tally.fire(seq * 1_000_000, 10.0)
    return tally


def at(seq: int, arrival_ms: float) -> Received:
    """A PASS for `seq`, received `arrival_ms` after the first trigger."""
    return Received(replace(PASS, result_id=seq + 1, seq=seq), int(arrival_ms * 1e6))


def state(**counts: int) -> WorkerState:
    """The worker's last state, with the fields that the judges read."""
    zero = dict.fromkeys(("triggers", "pass", "fail", "undecided", "fault"), 0)
    return WorkerState("b", "stopped", 1.0, zero | counts, {}, (), 1, 0, (), "cpu", 1)


def test_account_that_adds_up_has_no_problems() -> None:
    """Each trigger one verdict, and the worker says the same."""
    tally = fired(2)
    assert tally.receive(at(0, 5))
    assert tally.receive(at(1, 6))
    assert tally.problems(state(triggers=2, **{"pass": 2})) == []


@pytest.mark.parametrize(
    ("seqs", "problem"),
    [
        ((0,), "1 triggers without a verdict"),
        ((0, 1, 1), "1 triggers with more than one verdict"),
        ((0, 1, 2), "1 verdicts on parts that were never triggered"),
    ],
)
def test_account_that_does_not_add_up(seqs: tuple[int, ...], problem: str) -> None:
    """A missing, a second and an unknown verdict each show."""
    tally = fired(2)
    for seq in seqs:
        tally.receive(at(seq, 5))
    assert problem in tally.problems(state(triggers=2, **{"pass": 2}))


def test_inspection_of_a_frame_that_was_never_sent_shows() -> None:
    """A part whose frame the camera dropped can only be a FAULT."""
    tally = fired(1)
    tally.not_sent(0)
    tally.receive(at(0, 5))
    assert "never sent" in tally.problems(state(triggers=1, **{"pass": 1}))[0]


def test_late_verdict_and_missing_verdict_break_the_contract() -> None:
    """Up to 5 ms after the deadline is in time; later, or never, is named."""
    tally = fired(3)
    tally.receive(at(0, 10 + 4.9))
    tally.receive(at(1, 1 + 10 + 5.1))
    found = figures(tally.triggers(), 5.0)
    assert (found["late"], found["without_verdict"]) == (1, 1)
    assert len(problems_of(1.5, found)) == 2
    tally = fired(1)
    tally.receive(at(0, 14.9))
    assert problems_of(1.5, figures(tally.triggers(), 5.0)) == []


def test_slope_of_a_leak_is_found_in_noise() -> None:
    """Its error covers the truth, also where samples that follow one another are alike."""
    hours, rng = np.linspace(0, 2, 1440), np.random.default_rng(4)
    noise = np.convolve(rng.normal(0, 3, 1440), np.ones(12) / 12, "same")
    slope = Slope.of(hours, 400 + 5.0 * hours + noise)
    assert slope is not None
    assert abs(slope.value - 5.0) < 3 * slope.error < 3.0
    independent = Slope.of(hours, 400 + rng.normal(0, float(noise.std()), 1440))
    assert independent is not None
    assert independent.error < slope.error


def test_drift_is_what_most_windows_show() -> None:
    """Two windows of eleven in which the machine was busy do not make a drift, nor hide one."""
    rng = np.random.default_rng(4)
    steady = 120 * (1 + rng.normal(0, 0.01, 11))
    steady[[0, 7]] = 700, 180
    minutes = np.arange(11.0)
    found = Drift.of(minutes, steady)
    assert found is not None
    assert found.low < 0 < found.high
    assert abs(found.value) < 0.05
    drifting = Drift.of(minutes, steady * np.linspace(1, 1.3, 11))
    assert drifting is not None
    assert 0.2 < drifting.value < 0.4
    assert drifting.low > 0.1
    assert Drift.of(minutes[:1], steady[:1]) is None


def test_mixed_and_unknown_models_are_seen() -> None:
    """A score that a model does not give, and a model that was not in use when the part came."""
    loads = [Load("r", "m1", 0, 0), Load("r", "m2", 100, 120)]

    def witnessed(*verdicts: tuple[int, str, float]) -> list[str]:
        witness = Witness()
        for received_ns, model, score in verdicts:
            result = replace(PASS, received_ns=received_ns, model_sha=model, score=score)
            witness.take(Received(result, received_ns))
        return witness.problems(loads)

    assert witnessed((50, "m1", 0.5), (110, "m1", 0.5), (110, "m2", 0.6), (130, "m2", 0.6)) == []
    assert "more than one score" in witnessed((50, "m1", 0.5), (60, "m1", 0.55))[0]
    assert "not in use" in witnessed((130, "m1", 0.5))[0]
    assert "not in use" in witnessed((50, "m2", 0.5))[0]
