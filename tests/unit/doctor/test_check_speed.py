"""The check of the speed: the cost of a part against the line's rate, which the ledger knows."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.examined import outcomes, said, settings, sound_recipe, visit
from tests.unit.made.line_messages import worker_state
from tests.unit.made.recipes import ColourAndPlace
from tests.unit.made.verdicts import BASE_NS, result

from cmfm_worker.doctor.check_speed import check_speed, load_finding, speed_finding
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.doctor.line_rate import busy_rate, ledger_rate, rate_in_words
from cmfm_worker.doctor.visit import Options, RunningWorker
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.recipes.sections import FrameSection


@pytest.mark.parametrize(
    ("part_ms", "rate_hz", "outcome"),
    [(80.0, 10.0, Outcome.GOOD), (80.0, 10.1, Outcome.TO_DO), (80.0, None, Outcome.NOT_CHECKED)],
)
def test_eighty_percent_of_the_time_may_be_computed(
    part_ms: float, rate_hz: float | None, outcome: Outcome
) -> None:
    """A part of 80 ms allows ten parts a second; a rate that is not known is no good one."""
    finding = speed_finding("part", part_ms, rate_hz, "--rate")
    assert finding.outcome is outcome
    assert "at most 10 parts a second" in finding.seen


def test_running_worker_tells_what_a_part_costs(tmp_path: Path) -> None:
    """Nothing is computed beside it: there is not even a recipe."""
    state = replace(worker_state({}), part_ms=500.0)
    line = visit(tmp_path, worker=RunningWorker(None, state), options=Options(rate_hz=2))
    assert "500 ms a part" in said(check_speed(line), Outcome.TO_DO)
    silent = visit(tmp_path, worker=RunningWorker(None, None, "no reply"))
    assert outcomes(check_speed(silent)) == [Outcome.NOT_CHECKED]


def test_each_recipe_is_computed_where_no_worker_runs(tmp_path: Path) -> None:
    """On frames of its own size and distance; one that cannot be loaded is left to the check of the recipes."""
    frame = FrameSection(height_px=48, width_px=80, distance_m=0.3, distance_tolerance_m=0.01)
    sound_recipe(tmp_path, "first", frame=frame)
    sound_recipe(tmp_path, "second")
    sound_recipe(tmp_path, "undecided", threshold=None)
    line = visit(tmp_path, options=Options(rate_hz=0.001))
    found = check_speed(line, lambda *_: lambda _: Inspector(ColourAndPlace()))
    assert [each.seen.split(":")[0] for each in found if each.outcome is Outcome.GOOD] == ["first", "second"]


def test_without_a_recipe_that_can_be_loaded_nothing_is_green(tmp_path: Path) -> None:
    """The check says that it was not made; on a quiet machine it would otherwise say nothing at all."""
    sound_recipe(tmp_path, "undecided", threshold=None)
    assert outcomes(check_speed(visit(tmp_path))) == [Outcome.NOT_CHECKED]


def test_rate_is_that_of_the_last_hour_without_the_pauses() -> None:
    """Two parts a second for two minutes, a pause of half an hour, and two minutes again."""
    run = [i * 500_000_000 for i in range(240)]
    later = [1920 * 10**9 + each for each in run]
    rate_hz = busy_rate([*run, *later])
    assert rate_hz is not None
    assert rate_hz == pytest.approx(2, rel=0.01)
    assert busy_rate([1]) is None
    assert busy_rate([1, 2]) == pytest.approx(2 / 10)


def test_ledger_s_last_hour_may_be_long_ago(tmp_path: Path) -> None:
    """A line that has stood for a week was as fast then; rows before that hour do not count."""
    ledger = Ledger(tmp_path / "ledger.sqlite", flush_ms=10)
    old_ns = BASE_NS - 7200 * 10**9
    ledger.append(result(1, trigger_ns=old_ns, done_ns=old_ns))
    for number in range(2, 302):
        ledger.append(result(number, trigger_ns=BASE_NS + number * 10**9))
    ledger.close()
    rate_hz, source = ledger_rate(tmp_path / "ledger.sqlite")
    assert rate_hz == pytest.approx(1, rel=0.01)
    assert "2026-02-02T02:45" in source


def test_line_without_a_ledger_needs_the_option(tmp_path: Path) -> None:
    """The finding says so."""
    sound_recipe(tmp_path)
    found = check_speed(visit(tmp_path), lambda *_: lambda _: Inspector(ColourAndPlace()))
    assert "--rate" in said(found, Outcome.NOT_CHECKED)
    assert settings(tmp_path).ledger.path is not None


def test_busy_machine_is_noted() -> None:
    """The figures would be better on a quiet one."""
    assert load_finding(1.5, 2) is None
    busy = load_finding(6.0, 2)
    assert busy is not None
    assert busy.outcome is Outcome.NOTE


@pytest.mark.parametrize(("rate_hz", "words"), [(2.0, "2 parts a second"), (0.1, "6 parts a minute")])
def test_rates_in_words(rate_hz: float, words: str) -> None:
    """Slow lines are told in minutes."""
    assert rate_in_words(rate_hz) == words
