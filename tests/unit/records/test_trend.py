"""Trends of a ledger: counts are exact in every slot, measures are those of inspected parts, a sample is bounded."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.made.verdicts import BASE_NS, result
from tests.unit.made.written_ledger import write_ledger

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.ledger import Question, open_ledger
from cmfm_records.trend import SAMPLE_ROWS, VERDICTS, Slots

SLOT_NS = 10 * 10**9


def part(number: int, verdict: Verdict, **changes: object) -> Result:
    """One part a second from BASE_NS on; the score counts up."""
    at_ns = BASE_NS + number * 10**9
    values = {
        "score": number / 1000,
        "threshold": 1e6,
        "coverage": 0.9,
        "recipe": "bagel",
        "model_sha": "m",
    } | changes
    return replace(result(number + 1, verdict), **({"done_ns": at_ns} | values))  # type: ignore[arg-type]


def read(path: Path, *, slots: int = 6, recipe: str | None = "bagel", models: tuple[str, ...] = ()) -> Slots:
    with open_ledger(path) as ledger:
        question = Question(recipe=recipe, models=models)
        return ledger.slots(question, start_ns=BASE_NS, slot_ns=SLOT_NS, slots=slots, model="m")


def test_every_row_is_counted_in_its_slot(tmp_path: Path) -> None:
    """The first and the last nanosecond of a slot belong to it; rows before and after the span are not counted."""
    times = [-1, 0, SLOT_NS - 1, SLOT_NS, 6 * SLOT_NS - 1, 6 * SLOT_NS]
    rows = [part(i, Verdict.PASS, done_ns=BASE_NS + at) for i, at in enumerate(times)]
    found = read(write_ledger(tmp_path / "l.sqlite", rows))
    assert found.counts.sum(axis=1).tolist() == [2, 1, 0, 0, 0, 1]


def test_faults_are_counted_and_not_measured(tmp_path: Path) -> None:
    """A late part may have a score and a latency of seconds; neither describes inspected parts."""
    rows = [
        part(0, Verdict.PASS, score=0.5, latency_us=40_000),
        part(1, Verdict.UNDECIDED, score=None, coverage=0.2, reason=Reason.LOW_COVERAGE),
        part(2, Verdict.FAULT, score=9.0, coverage=0.1, latency_us=9_000_000, reason=Reason.DEADLINE),
    ]
    found = read(write_ledger(tmp_path / "l.sqlite", rows))
    assert dict(zip(VERDICTS, found.counts[0].tolist(), strict=True)) == {
        Verdict.PASS: 1,
        Verdict.FAIL: 0,
        Verdict.UNDECIDED: 1,
        Verdict.FAULT: 1,
    }
    assert found.least[0, :2].tolist() == [0.5, 0.2]
    assert found.greatest[0, :2].tolist() == [0.5, 0.9]
    assert found.greatest[0, 2] < 9_000_000
    assert np.isnan(found.least[1]).all()
    assert np.isnan(found.sample.score).tolist() == [False, True]


def test_a_sample_is_bounded_and_even(tmp_path: Path) -> None:
    """Ten times as many rows as are sampled: every slot has its share, and both of two cameras that take turns."""

    def rows() -> Iterator[Result]:
        for number in range(10 * SAMPLE_ROWS):
            at_ns = BASE_NS + number * 6 * SLOT_NS // (10 * SAMPLE_ROWS)
            yield part(number, Verdict.PASS, done_ns=at_ns, score=float(number % 2))

    found = read(write_ledger(tmp_path / "l.sqlite", rows()))
    assert int(found.counts.sum()) == 10 * SAMPLE_ROWS
    assert len(found.sample.slot) == pytest.approx(SAMPLE_ROWS, rel=0.01)
    assert np.bincount(found.sample.slot).tolist() == pytest.approx([SAMPLE_ROWS / 6] * 6, rel=0.05)
    assert found.sample.score.mean() == pytest.approx(0.5, abs=0.05)


def test_rows_of_the_default_recipe_belong_to_it_by_their_model(tmp_path: Path) -> None:
    """A frame that names no recipe has an empty one in the ledger."""
    rows = [
        part(0, Verdict.PASS),
        part(1, Verdict.PASS, recipe="", model_sha="m"),
        part(2, Verdict.PASS, recipe="", model_sha="other"),
        part(3, Verdict.PASS, recipe="cookie", model_sha="m"),
        part(4, Verdict.PASS, model_sha="before"),
    ]
    path = write_ledger(tmp_path / "l.sqlite", rows)
    assert int(read(path).counts.sum()) == 2
    assert int(read(path, models=("m", "before")).counts.sum()) == 3
    assert int(read(path, recipe=None).counts.sum()) == 5
    assert read(path).sample.of_model.tolist() == [True, False]
