"""A line's files: a ledger that adds up, also after a kill, and rejected parts to replay."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmfm_protocol.files.dataset import read_rgb, read_xyz
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.processes import program

from .conftest import Line

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

MakeLine = Callable[[str], Line]


def ask_worker(*arguments: object) -> tuple[int, str, str]:
    """`cmfm-worker ARGUMENTS` as a process: exit code, stdout, stderr."""
    command = [*program("cmfm-worker"), *(str(argument) for argument in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def ledger_of(line: Line) -> dict[str, Any]:
    code, out, err = ask_worker("ledger", "--path", line.folder / "ledger.sqlite", "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_rejected_parts_of_a_running_line_come_out_equal(make_line: MakeLine, synthetic_root: Path) -> None:
    """Rejected parts are kept with their bytes; replay-part finds the same verdict and score, bit for bit."""
    line = make_line("tcp")
    worker = line.start()
    camera = line.replay(synthetic_root, "--rate", "20", "--deadline-ms", "5000")
    line.wait_for(lambda: camera.returncode is not None, worker, 120)
    expected = {trigger.key for trigger in line.triggers()}
    line.wait_for(lambda: expected <= {item.key for item in line.received}, worker, 60)
    line.finish(worker)

    rows = ledger_of(line)
    assert rows["totals"]["identity_holds"]
    assert [boot["ending"] for boot in rows["totals"]["boots"]] == ["clean"]
    by_id = {row["result_id"]: row for row in rows["rows"]}
    assert all(len(row["frame_sha256"]) == len(row["recipe_sha"]) == 64 for row in by_id.values())

    kept = {
        int(folder.name.rsplit("_", 1)[1]): folder
        for folder in (line.folder / "kept").iterdir()
        if folder.is_dir()
    }
    rejected = {item.result.result_id for item in line.received if item.result.verdict is not Verdict.PASS}
    assert kept.keys() == rejected
    assert rejected, "the data set has defective parts; without one this test shows nothing"
    for result_id, folder in kept.items():
        frame = read_rgb(folder / "rgb.png").tobytes() + read_xyz(folder / "xyz.tiff").tobytes()
        assert hashlib.sha256(frame).hexdigest() == by_id[result_id]["frame_sha256"]
    one = min(rejected)
    name = f"{by_id[one]['boot_id']}/{one}"
    code, out, err = ask_worker("replay-part", name, "--config", line.folder / "line.toml", "--json")
    assert code == 0, out + err
    assert json.loads(out)["replayed"]["score"] == by_id[one]["score"]


def test_kill_costs_at_most_the_last_interval_until_the_next_start(
    make_line: MakeLine, synthetic_root: Path
) -> None:
    """After kill -9 the ledger lacks only the newest verdicts; the next start adds them and logs the ledger's state."""
    line = make_line("tcp")
    worker = line.start(ledger={"flush_ms": 50.0})
    line.replay(synthetic_root, "--rate", "10", "--loop", "50", "--deadline-ms", "5000")
    line.wait_for(lambda: len(line.received) >= 15, worker, 60)
    worker.kill()
    line.listen(0.2)
    given = {item.result.result_id: item.result.done_ns for item in line.received}
    first = ledger_of(line)
    written = {row["result_id"] for row in first["rows"]}
    assert written == set(range(1, max(written) + 1))
    newest_ns = max(given.values())
    assert all(newest_ns - given[result_id] <= 250e6 for result_id in given.keys() - written)

    line.states.clear()  # those of the former worker
    worker = line.start(ledger={"flush_ms": 50.0})
    said = worker.output()
    assert "ledger_after_kill" in said
    assert first["rows"][-1]["done_utc"] in said
    assert given.keys() <= {row["result_id"] for row in ledger_of(line)["rows"]}
    line.finish(worker)
    assert next(boot["ending"] for boot in ledger_of(line)["totals"]["boots"]) == "killed"
