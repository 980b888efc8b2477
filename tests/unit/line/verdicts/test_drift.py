"""Drift at the verdict book: an alarm in log and metrics; UNDECIDED for parts that would PASS if the recipe asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.unit.made.book import at, closed, due, new_book, of_type, sent
from tests.unit.made.recipes import saved
from tests.unit.made.verdicts import FAIL, PASS, UNDECIDED

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import Decision, Opened
from cmfm_worker.line.verdicts.actions import Action, LogDrift, LogResult, RecordResult
from cmfm_worker.line.verdicts.drift_metrics import DriftCollector
from cmfm_worker.recipes.drift import DriftMonitor
from cmfm_worker.recipes.drift_section import DriftSection
from cmfm_worker.recipes.sections import ThresholdSection

NOMINAL = tuple(0.1 + i / 1000 for i in range(50))
LEAST = 50


def monitor(folder: Path, act: str) -> DriftMonitor:
    recipe = saved(
        folder / "part",
        threshold=ThresholdSection(fail_at=1.0, validation_scores=NOMINAL),
        drift=DriftSection.model_validate({"act": act, "window": 60, "least_parts": LEAST}),
    ).recipe
    return DriftMonitor("bagel", recipe)


def judged(decisions: list[Decision], due_ms: float = 1e6, now_ms: float = 0.0) -> list[list[Action]]:
    """Open and close one trigger for each decision; return what each closing does."""
    book, found = new_book(), []
    for seq, decision in enumerate(decisions):
        book.handle(Opened(due(seq, due_ms)), at(now_ms))
        found.append(book.handle(closed(seq, decision), at(now_ms)))
    return found


def test_a_recipe_that_asks_for_it_passes_no_part_while_its_parts_drift(tmp_path: Path) -> None:
    """From the part on with which the drift is found; the result and the record say so, and why in numbers."""
    drifting = replace(PASS, drift=monitor(tmp_path, "undecided"))
    actions = judged([drifting] * 60)
    results = [result for each in actions for result in sent(each)]
    assert [result.verdict for result in results] == [Verdict.PASS] * (LEAST - 1) + [Verdict.UNDECIDED] * 11
    assert {result.reason for result in results[LEAST - 1 :]} == {Reason.DRIFT}
    assert results[-1].detail.startswith("score: PSI ")
    assert results[-1].score == PASS.score
    (recorded,) = of_type(RecordResult, actions[-1])
    assert (recorded.evidence.result.verdict, recorded.evidence.result.reason) == (
        Verdict.UNDECIDED,
        Reason.DRIFT,
    )


def test_by_default_drift_changes_no_verdict_and_is_logged_once(tmp_path: Path) -> None:
    """One log line when it begins and one when it is over."""
    watched = monitor(tmp_path, "alarm")
    far = replace(PASS, drift=watched)
    near = [replace(PASS, drift=watched, score=score) for score in NOMINAL]
    actions = judged([*[far] * 60, *near, *near, *near])
    assert {result.verdict for each in actions for result in sent(each)} == {Verdict.PASS}
    logged = [entry for each in actions for entry in of_type(LogDrift, each)]
    assert [(entry.recipe, entry.state.drifting) for entry in logged] == [("bagel", True), ("bagel", False)]
    with_it = actions[LEAST - 1]
    assert with_it.index(logged[0]) > with_it.index(of_type(LogResult, with_it)[0])


def test_other_verdicts_stay_what_they_are(tmp_path: Path) -> None:
    """A defect of a drifting product still FAILs, and a part out of the limits keeps its reason."""
    watched = monitor(tmp_path, "undecided")
    decisions = [replace(FAIL, drift=watched)] * 60
    decisions += [replace(UNDECIDED, drift=watched, score=0.5, threshold=1.0)]
    results = [result for each in judged(decisions) for result in sent(each)]
    assert watched.state.drifting
    assert [result.reason for result in results] == [Reason.ABOVE_THRESHOLD] * 60 + [Reason.LOW_COVERAGE]


def test_a_part_without_score_or_window_is_not_compared(tmp_path: Path) -> None:
    """FAULTs have no score; a part of another calibration has no window."""
    watched = monitor(tmp_path, "undecided")
    judged([replace(PASS, score=None, verdict=Verdict.FAULT, reason=Reason.NO_VALID_3D, drift=watched), PASS])
    assert watched.state.parts == 0


def test_a_late_part_is_a_fault_and_is_compared(tmp_path: Path) -> None:
    """Whether a part came in time says nothing about the product."""
    watched = monitor(tmp_path, "undecided")
    (actions,) = judged([replace(PASS, drift=watched)], due_ms=5, now_ms=0)
    assert sent(actions)[0].verdict is Verdict.PASS
    book = new_book()
    book.handle(Opened(due(0, 5)), at(0))
    late = sent(book.handle(closed(0, replace(PASS, drift=watched)), at(6)))
    assert [result.reason for result in late] == [Reason.DEADLINE]
    assert watched.state.parts == 2


def test_the_scrape_says_what_drifts(tmp_path: Path) -> None:
    """Gauges by recipe and measure, NaN while there are too few parts."""
    watched = monitor(tmp_path, "alarm")
    registry = CollectorRegistry()
    registry.register(DriftCollector(lambda: {watched.name: watched.state}))

    def value(name: str, **labels: str) -> float:
        found = registry.get_sample_value(name, {"recipe": "bagel", **labels})
        assert found is not None
        return found

    assert value("cmfm_drifting") == 0
    assert value("cmfm_drift_parts") == 0
    psi = value("cmfm_drift_psi", measure="score")
    assert psi != psi
    limit = value("cmfm_drift_limit", measure="score")
    assert limit >= 0.25
    for _ in range(60):
        watched.add(PASS.score or 0.0, None)
    assert value("cmfm_drifting") == 1
    assert value("cmfm_drift_parts") == 60
    assert value("cmfm_drift_psi", measure="score") > value("cmfm_drift_limit", measure="score") > 0
    assert registry.get_sample_value("cmfm_drift_psi", {"recipe": "bagel", "measure": "coverage"}) is None


@pytest.mark.parametrize("act", ["alarm", "undecided"])
def test_the_account_holds_through_drift(tmp_path: Path, act: str) -> None:
    """Triggers are the sum of the verdicts, and the reason is counted."""
    watched, book = monitor(tmp_path, act), new_book()
    for seq in range(70):
        book.handle(Opened(due(seq, 1e6)), at(0))
        book.handle(closed(seq, replace(PASS, drift=watched)), at(0))
    totals = book.totals
    assert totals.triggers == totals.closed == 70
    assert totals.reasons[Reason.DRIFT] == (21 if act == "undecided" else 0)
