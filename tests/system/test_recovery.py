"""Subscribers that are killed, late, slow or stopped: each ends with the same record, and none slows the line."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cmfm_client.json_lines import read_json_lines
from cmfm_client.requests import RequestClient
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.processes import Child, program

from .conftest import Line
from .test_line import settle

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

MakeLine = Callable[[str], Line]


def watch(line: Line, record: Path) -> Child:
    """A subscriber process that keeps a record."""
    command = [*program("cmfm-sim"), "watch", "--json", "--from-start", "--record", str(record)]
    command += ["--endpoint", line.endpoints.results, "--recover-endpoint", line.endpoints.recovery]
    return line.start_child(record.stem, command)


def recorded(record: Path) -> list[int]:
    """The ids in a record."""
    return [result["result_id"] for result in results_in(record)]


def results_in(record: Path) -> list[dict[str, Any]]:
    """The results in a record, as JSON gives them."""
    return [line["result"] for _, line in read_json_lines(record)] if record.exists() else []


def flood(line: Line, stream: str, parts: int) -> None:
    """Make the worker give so many verdicts at once: for announced parts that never come."""
    message = TriggerMessage(stream, parts - 1, "", time.time_ns(), 1.0, "praline", simulated=True)
    with RequestClient(line.endpoints.control, timeout_s=60) as client:
        client.announce(message)


def memory_mb(worker: Child) -> float:
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmRSS"))


def wait_for_record(line: Line, record: Path, worker: Child) -> None:
    """Listen until a record has as many results as were published by now."""
    line.wait_for(lambda: len(recorded(record)) >= len(line.received), worker, 90)


def test_every_subscriber_ends_with_the_same_record(
    make_line: MakeLine, synthetic_root: Path, tmp_path: Path
) -> None:
    """One that is killed and started again, one that comes late, one that is always behind: complete, no duplicates."""
    line = make_line("ipc")
    worker = line.start()
    killed, slow, late = (tmp_path / f"{name}.jsonl" for name in ("killed", "slow", "late"))
    first, behind = watch(line, killed), watch(line, slow)
    camera = line.replay(synthetic_root, "--rate", "8", "--loop", "5", "--deadline-ms", "3000")
    line.wait_for(lambda: len(recorded(killed)) >= 8 and len(recorded(slow)) >= 1, worker, 120)
    first.kill()
    behind.freeze()
    with killed.open("a", encoding="utf-8") as torn:
        torn.write('{"received_ns": 17')  # what a kill in the middle of a line leaves
    before = len(line.received)
    line.wait_for(lambda: len(line.received) >= before + 10, worker, 120)
    behind.thaw()
    watch(line, killed)
    watch(line, late)
    settle(line, camera, worker)
    for record in (killed, slow, late):
        wait_for_record(line, record, worker)
    line.finish(worker)
    expected = [json.loads(json.dumps(asdict(item.result))) for item in line.received]
    for record in (killed, slow, late):
        assert results_in(record)[: len(expected)] == expected
        assert recorded(record) == list(range(1, len(expected) + 1))


def test_stopped_subscriber_slows_nothing_and_catches_up(
    make_line: MakeLine, synthetic_root: Path, tmp_path: Path
) -> None:
    """It holds neither verdicts nor memory; what its queue had no room for it asks for when it goes on."""
    line = make_line("ipc")
    worker = line.start(results={"state_ms": 100.0, "hwm": 50})
    record = tmp_path / "stopped.jsonl"
    subscriber = watch(line, record)
    flood(line, "before", 5)
    line.wait_for(lambda: len(recorded(record)) >= 5, worker, 60)
    subscriber.freeze()
    flood(line, "first", 1000)
    line.wait_for(lambda: len(line.received) >= 1005, worker, 60)
    before_mb = memory_mb(worker)
    for stream in ("second", "third", "fourth"):
        flood(line, stream, 1000)
    camera = line.replay(synthetic_root, "--rate", "4", "--limit", "8", "--deadline-ms", "60000")
    settle(line, camera, worker)
    assert memory_mb(worker) - before_mb < 100
    inspected = [r.result for r in line.received if r.result.verdict is not Verdict.FAULT]
    assert len(inspected) == len(line.triggers())  # not one was late for a subscriber's sake
    assert len(recorded(record)) < 1005
    subscriber.thaw()
    wait_for_record(line, record, worker)
    line.finish(worker)
    assert recorded(record) == [item.result.result_id for item in line.received]
    assert recorded(record) == list(range(1, len(recorded(record)) + 1))
