"""The whole line as processes over real sockets, camera → worker → subscriber, with and without faults."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.accounting import account, compare_with_worker
from cmfm_sim.processes import Child

from .conftest import Line

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

MakeLine = Callable[[str], Line]

EVERY_FAULT = (
    "drop=6,duplicate=6,reorder=6,corrupt=8,truncate=6,oversize=5,"
    "wrong=6,garbage=6,version=3,late=2:1500ms,stall=1:0.6s"
)


def settle(line: Line, camera: Child, worker: Child) -> None:
    """Listen until the camera has ended and every trigger it announced has a verdict."""
    line.wait_for(lambda: camera.returncode is not None, worker, 240)
    camera.require_success()
    expected = {trigger.key for trigger in line.triggers()}
    line.wait_for(lambda: expected <= {item.key for item in line.received}, worker, 30)


def assert_accounted_for(line: Line) -> None:
    """From outside: each trigger exactly one verdict; the worker's own count and its ledger say the same."""
    outside = account(line.triggers(), line.received)
    assert outside.problems() == []
    assert line.lost == 0
    assert line.states[-1].phase == "stopped"
    assert compare_with_worker(outside, line.states[-1]) == []
    rows = {(stream, seq): verdict for stream, seq, verdict, _ in line.ledger()}
    assert rows == {item.key: str(item.result.verdict) for item in line.received}
    assert len(line.ledger()) == len(line.received)


def test_every_trigger_has_one_verdict_under_every_fault(
    make_line: MakeLine, synthetic_root: Path, transport: str
) -> None:
    """Drops, duplicates, reorders, damage of every kind, stalls and late frames: the identity holds exactly."""
    line = make_line(transport)
    worker = line.start()
    options = ["--loop", "14", "--deadline-ms", "1200", "--faults", EVERY_FAULT, "--seed", "3"]
    camera = line.replay(synthetic_root, "--rate", f"{line.rate_hz(10):.3f}", *options)
    settle(line, camera, worker)
    line.finish(worker)
    assert_accounted_for(line)
    results = {item.key: item.result for item in line.received}
    untouched = [trigger for trigger in line.triggers() if not trigger.faults]
    inspected = sum(results[trigger.key].verdict is not Verdict.FAULT for trigger in untouched)
    assert inspected > 0.8 * len(untouched)  # a fault costs its own part alone
    sent = [results[trigger.key] for trigger in untouched if trigger.sent]
    why_not = {result.reason for result in sent if result.verdict is Verdict.FAULT}
    assert why_not <= {Reason.DEADLINE, Reason.RING_FULL}  # on a busy machine


def test_overloaded_line_gives_every_part_a_verdict(make_line: MakeLine, synthetic_root: Path) -> None:
    """With far more frames than can be computed each part has a verdict, most of them FAULTs in time."""
    line = make_line("tcp")
    worker = line.start(ring={"slots": 4}, batch={"max_batch": 2})
    camera = line.replay(synthetic_root, "--rate", "120", "--loop", "60", "--deadline-ms", "300")
    settle(line, camera, worker)
    line.finish(worker)
    assert_accounted_for(line)
    faults = [item.result for item in line.received if item.result.verdict is Verdict.FAULT]
    assert faults
    assert {str(result.reason) for result in faults} <= {"ring_full", "deadline", "lost"}


def test_sigterm_drains_in_mid_stream(make_line: MakeLine, synthetic_root: Path) -> None:
    """Every accepted frame has its verdict, no other has one, and the exit code is 0."""
    line = make_line("tcp")
    worker = line.start(ring={"slots": 256})
    camera = line.replay(synthetic_root, "--rate", "25", "--loop", "60", "--deadline-ms", "50000")
    line.wait_for(lambda: len(line.received) >= 10, worker, 60)
    line.finish(worker)
    camera.end()
    counts = line.states[-1].counts
    assert counts["triggers"] == sum(counts[name] for name in ("pass", "fail", "undecided", "fault"))
    assert counts["triggers"] == len(line.received) == len(line.ledger())
    keys = [item.key for item in line.received]
    assert len(set(keys)) == len(keys)
    assert re.search(r"draining", worker.output())
    inspected = [item for item in line.received if item.result.verdict is not Verdict.FAULT]
    assert len(inspected) == len(keys)


def test_dead_publisher_is_reported_within_a_second(make_line: MakeLine, synthetic_root: Path) -> None:
    """A killed camera shows in the worker's state within 1 s; the worker goes on and takes the next camera."""
    line = make_line("tcp")
    worker = line.start()
    camera = line.replay(synthetic_root, "--rate", "8", "--loop", "50")
    line.wait_for(lambda: len(line.received) >= 5, worker, 60)
    assert line.states[-1].sources[0].alive
    camera.kill()
    died_s = time.monotonic()
    line.wait_for(lambda: not line.states[-1].sources[0].alive, worker, 10)
    assert time.monotonic() - died_s <= 1.0
    before = len(line.received)
    again = line.replay(synthetic_root, "--rate", "8", "--loop", "1")
    line.wait_for(lambda: again.returncode is not None, worker, 60)
    line.wait_for(lambda: len(line.received) >= before + 8, worker, 30)
    line.finish(worker)


def test_stopped_publisher_is_reported(make_line: MakeLine, synthetic_root: Path) -> None:
    """A camera that hangs without closing its connection is reported within 1 s, by its missing heartbeats."""
    line = make_line("tcp")
    worker = line.start()
    camera = line.replay(synthetic_root, "--rate", "8", "--loop", "50")
    line.wait_for(lambda: len(line.received) >= 5, worker, 60)
    camera.freeze()
    stopped_s = time.monotonic()
    line.wait_for(lambda: not line.states[-1].sources[0].alive, worker, 10)
    assert time.monotonic() - stopped_s <= 1.0
    camera.kill()
    line.finish(worker)


def test_restarted_worker_takes_the_stream_up_where_the_ledger_ends(
    make_line: MakeLine, synthetic_root: Path
) -> None:
    """Triggers without a verdict of a killed worker are FAULTs of the next one; no trigger has two verdicts."""
    line = make_line("tcp")
    worker = line.start(ledger={"path": "ledger.sqlite", "flush_ms": 20.0})
    camera = line.replay(synthetic_root, "--rate", "6", "--loop", "13", "--deadline-ms", "2000")
    line.wait_for(lambda: len(line.received) >= 10, worker, 60)
    worker.kill()
    worker = line.start(ledger={"path": "ledger.sqlite", "flush_ms": 20.0})
    line.wait_for(lambda: camera.returncode is not None, worker, 120)
    line.listen(1.0)
    line.catch_up()
    line.finish(worker)
    decided = [(stream, seq) for stream, seq, _, _ in line.ledger() if stream != UNATTRIBUTED_STREAM]
    assert len(decided) == len(set(decided))
    assert {trigger.key for trigger in line.triggers()} == set(decided)
