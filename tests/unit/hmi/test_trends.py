"""Trends: blocks are asked once and newest first, curves say what the ledger holds, the page answers in words."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.made.page import page_client
from tests.unit.made.recipes import saved
from tests.unit.made.verdicts import result
from tests.unit.made.written_ledger import write_ledger

from cmfm_hmi.errors import PageError
from cmfm_hmi.trends.blocks import BLOCK_SLOTS, FAILED_FOR_S, NS_PER_S, RANGES, Found, TrendBlocks, Wanted
from cmfm_hmi.trends.curves import Nominal, curves_of
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.ledger import LedgerReader, Question, open_ledger
from cmfm_records.trend import Slots
from cmfm_worker.recipes.sections import CoverageSection, ThresholdSection

HOUR = RANGES["hour"]
BLOCK_NS = HOUR.slot_ns * BLOCK_SLOTS
NOW_NS = 1_770_000_000_000_000_000 // BLOCK_NS * BLOCK_NS + 5 * NS_PER_S
"""Five seconds into the first slot of a block."""


def part(number: int, ago_s: float, verdict: Verdict = Verdict.PASS, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "done_ns": NOW_NS - int(ago_s * NS_PER_S),
        "recipe": "bagel",
        "model_sha": "m",
        "coverage": 1.0,
    }
    return replace(result(number + 1, verdict), **(values | changes))


class CountingLedger:
    """Asks a ledger for blocks, and keeps what it was asked."""

    def __init__(self, ledger: LedgerReader, cost_s: float = 0.0) -> None:
        self._ledger = ledger
        self.cost_s = cost_s
        self.now_s = 0.0
        self.starts: list[int] = []
        self.broken: set[int] = set()

    async def ask(self, wanted: Wanted, start_ns: int, slot_ns: int) -> Slots:
        await asyncio.sleep(0)
        self.starts.append(start_ns)
        self.now_s += self.cost_s
        if start_ns in self.broken:
            raise PageError("too_slow", 504, seconds=5)
        return self._ledger.slots(
            Question(recipe=wanted.recipe),
            start_ns=start_ns,
            slot_ns=slot_ns,
            slots=BLOCK_SLOTS,
            model=wanted.model,
        )

    def blocks(self, now_ns: int = NOW_NS) -> TrendBlocks:
        return TrendBlocks(self.ask, clock_ns=lambda: now_ns, monotonic_s=lambda: self.now_s)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[CountingLedger]:
    path = write_ledger(tmp_path / "l.sqlite", [part(i, ago_s=i) for i in range(3600)])
    with open_ledger(path) as reader:
        yield CountingLedger(reader)


WANTED = Wanted("bagel", (), "m")


def test_twenty_browsers_cost_one_question_a_block(ledger: CountingLedger) -> None:
    """All ask at once; afterwards the newest block alone is asked again, because it grows."""
    blocks = ledger.blocks()

    async def ask(browsers: int) -> list[Found]:
        return await asyncio.gather(*(blocks.read(WANTED, HOUR, NOW_NS) for _ in range(browsers)))

    answers = asyncio.run(ask(20))
    assert len(ledger.starts) == len(set(ledger.starts)) == 11
    assert all(answer.blocks.keys() == answers[0].blocks.keys() for answer in answers)
    ledger.now_s += 60
    asked = len(ledger.starts)
    asyncio.run(ask(1))
    assert ledger.starts[asked:] == [max(ledger.starts), max(ledger.starts) - BLOCK_NS]


def test_the_newest_time_comes_first_and_patience_ends(ledger: CountingLedger) -> None:
    """A slow disk: each request brings what two seconds allow, and the next one goes on behind it."""
    ledger.cost_s = 0.9
    blocks = ledger.blocks()
    first = asyncio.run(blocks.read(WANTED, HOUR, NOW_NS))
    assert first.more
    assert (
        sorted(first.blocks)
        == sorted(ledger.starts)
        == [max(ledger.starts) - i * BLOCK_NS for i in (2, 1, 0)]
    )
    curves = curves_of(first.blocks, HOUR, NOW_NS, Nominal(), str)
    assert curves["missing_from"] == HOUR.slots - 1 - 2 * BLOCK_SLOTS
    for _ in range(5):
        last = asyncio.run(blocks.read(WANTED, HOUR, NOW_NS))
    assert len(last.blocks) == 11
    assert not last.more
    assert curves_of(last.blocks, HOUR, NOW_NS, Nominal(), str)["missing_from"] == 0


def test_a_block_that_cannot_be_read_costs_the_older_times_alone(ledger: CountingLedger) -> None:
    """Newer times are shown, and the disk is left alone for a minute. Without the newest block there is a sentence."""
    blocks, broken = ledger.blocks(), NOW_NS // BLOCK_NS * BLOCK_NS - 3 * BLOCK_NS
    ledger.broken = {broken}
    first = asyncio.run(blocks.read(WANTED, HOUR, NOW_NS))
    assert (len(first.blocks), first.more) == (3, False)
    asyncio.run(blocks.read(WANTED, HOUR, NOW_NS))
    assert ledger.starts.count(broken) == 1
    ledger.broken = set()
    ledger.now_s += FAILED_FOR_S
    assert len(asyncio.run(blocks.read(WANTED, HOUR, NOW_NS)).blocks) == 11
    ledger.broken = set(ledger.starts)
    with pytest.raises(PageError):
        asyncio.run(ledger.blocks().read(WANTED, HOUR, NOW_NS))


def test_curves_hold_every_part_of_the_range(ledger: CountingLedger) -> None:
    """One part a second for an hour: 120 slots of 30 s, the newest one five seconds old."""
    found = asyncio.run(ledger.blocks().read(WANTED, HOUR, NOW_NS))
    curves = curves_of(found.blocks, HOUR, NOW_NS, Nominal(), str)
    assert curves["parts"] == 3576  # those 0 to 3575 s ago: the first slot began 3575 s ago
    assert len(curves["labels"]) == len(curves["threshold"]) == HOUR.slots
    assert curves["labels"][-1] == str(NOW_NS - 5 * NS_PER_S)
    assert curves["measures"]["score"]["median"] == [0.5] * HOUR.slots
    assert curves["threshold"] == [1.0] * HOUR.slots


def read(path: Path, *, over: str = "hour", nominal: Nominal | None = None) -> dict[str, Any]:
    with open_ledger(path) as reader:
        found = asyncio.run(CountingLedger(reader).blocks().read(WANTED, RANGES[over], NOW_NS))
        return curves_of(found.blocks, RANGES[over], NOW_NS, nominal or Nominal(), str)


def test_rejects_are_counted_an_hour(tmp_path: Path) -> None:
    """Six FAILs in a window of five minutes are 72 an hour; the newest window counts the time that is over."""
    rows = [part(i, 1000 + i, Verdict.FAIL, score=2.0) for i in range(6)]
    rows += [part(10, 1, Verdict.UNDECIDED), part(11, 2, Verdict.FAULT), part(12, 3)]
    rejects = read(write_ledger(tmp_path / "l.sqlite", rows))["rejects"]
    assert rejects["total"] == {"PASS": 1, "FAIL": 6, "UNDECIDED": 1, "FAULT": 1}
    assert [each for each in rejects["an_hour"]["FAIL"] if each] == [72.0]
    assert rejects["an_hour"]["UNDECIDED"][-1] == pytest.approx(3600 / 275, rel=1e-3)


def test_scores_are_compared_with_nominal_ones_of_the_same_networks(tmp_path: Path) -> None:
    """Parts that former networks scored count in no percentile and no drift."""
    drawn = np.random.default_rng(1)
    nominal = drawn.normal(1.0, 0.1, 60).tolist()
    scores = drawn.normal(1.0, 0.1, 400)
    rows = [part(i, 200 + i / 10, score=float(score), threshold=9.0) for i, score in enumerate(scores)]
    rows += [part(1000 + i, 2000 + i / 10, score=5.0, threshold=9.0, model_sha="old") for i in range(400)]
    curves = read(write_ledger(tmp_path / "l.sqlite", rows), nominal=Nominal(nominal, [1.0] * 60))
    known = [value for value in curves["percentile"] if value is not None]
    assert 2 <= len(known) <= 3
    assert all(25 < value < 75 for value in known)
    drift = curves["drift"]
    assert drift["coverage"] is None  # nominal coverage that is all alike has no bins
    for index, limit in zip(drift["score"]["index"], drift["score"]["limit"], strict=True):
        assert index is None or index < limit
    shifted = [replace(each, score=(each.score or 0) + 0.2) for each in rows[:400]]
    moved = read(write_ledger(tmp_path / "moved.sqlite", shifted), nominal=Nominal(nominal))
    asked = read(write_ledger(tmp_path / "asked.sqlite", shifted), nominal=Nominal(nominal, drift_limit=7.5))
    assert {limit for limit in asked["drift"]["score"]["limit"] if limit is not None} == {7.5}
    pairs = zip(moved["drift"]["score"]["index"], moved["drift"]["score"]["limit"], strict=True)
    assert any(index is not None and index > limit for index, limit in pairs)


@pytest.mark.parametrize("over", list(RANGES))
def test_an_empty_ledger_has_empty_curves(tmp_path: Path, over: str) -> None:
    """A new line: no number is invented, and no range asks for more than 2,000 points."""
    curves = read(write_ledger(tmp_path / "l.sqlite", []), over=over)
    assert curves["parts"] == 0
    assert curves["percentile"] is None
    assert set(curves["measures"]["score"]["median"]) == {None}
    points = [curve for measure in curves["measures"].values() for curve in measure.values()]
    assert sum(map(len, points)) + len(curves["threshold"]) <= 2000


def test_the_page_answers_with_curves(tmp_path: Path) -> None:
    """A recipe without versions is compared by the networks that judged its newest part."""
    threshold = ThresholdSection(
        fail_at=1.0, validation_parts=20, validation_scores=tuple(i / 20 for i in range(20))
    )
    saved(tmp_path / "recipes" / "bagel", name="bagel", threshold=threshold, coverage=CoverageSection())
    now_ns = time.time_ns()
    rows = [part(i, 0, done_ns=now_ns - i * NS_PER_S) for i in range(100)]
    write_ledger(tmp_path / "ledger.sqlite", rows)
    with page_client(tmp_path) as client:
        client.log_in("view")
        assert "Trends" in client.get("/trends").text
        curves = client.http.get("/trends/data?recipe=bagel&range=hour").json()
        assert curves["parts"] == 100
        assert {each for each in curves["percentile"] if each is not None} == {
            52.5
        }  # 10 of 20 below, one equal
        assert client.http.get("/trends/data?recipe=cookie").status_code == 404
        assert client.http.get("/trends/data?recipe=..%2F..").status_code == 404
        assert client.http.get("/trends/data?range=year").status_code == 404


@pytest.mark.parametrize("damage", ["missing", "text", "folder"])
def test_a_ledger_that_cannot_be_read_is_a_sentence(tmp_path: Path, damage: str) -> None:
    """The page says which file, and stays."""
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "ledger.sqlite"
    if damage == "text":
        path.write_text("no ledger " * 1000)
    if damage == "folder":
        path.mkdir()
    with page_client(tmp_path) as client:
        client.log_in("view")
        assert client.get("/trends").status_code == 200
        answer = client.http.get("/trends/data")
        assert answer.status_code == 503
        assert "ledger.sqlite" in answer.json()["error"]
