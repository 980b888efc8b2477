"""Records on disk: what is written is read back, whatever became of the writer."""

import json
from pathlib import Path

import pytest

from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.errors import InputError
from cmfm_sim.faults import FaultKind
from cmfm_sim.record import ResultLog, TriggerLog, read_results, read_triggers

from .made_values import received, trigger


def test_triggers_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    """With their faults, and whether their frame was sent."""
    path = tmp_path / "new" / "triggers.jsonl"
    records = [trigger(0), trigger(1, faults=(FaultKind.DROP,)), trigger(2, label=1, defect="hole")]
    with TriggerLog(path) as log:
        for record in records:
            log.trigger(record)
        log.not_sent("stream", 2)
    assert read_triggers(path) == [*records[:2], trigger(2, label=1, defect="hole", sent=False)]


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    """Live ones and recovered ones, with all that a result says."""
    path = tmp_path / "results.jsonl"
    items = [
        received(0),
        received(1, Verdict.FAIL, peak_px=(3, 4), peak_xyz_m=(0.0, 0.1, 0.5), coverage=0.5),
        received(2, Verdict.FAULT, after_ms=None, detail="gone"),
    ]
    with ResultLog(path) as log:
        for item in items:
            log.result(item)
    assert read_results(path) == items


def test_the_torn_last_line_of_a_killed_writer_is_no_record(tmp_path: Path) -> None:
    """The lines before it count."""
    path = tmp_path / "triggers.jsonl"
    with TriggerLog(path) as log:
        log.trigger(trigger(0))
        log.trigger(trigger(1))
    path.write_text(path.read_text()[:-20])
    assert read_triggers(path) == [trigger(0)]


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        "{}",
        json.dumps({"event": "trigger", "seq": 1}),
        json.dumps({"event": "not_sent", "stream_uuid": "unheard of", "seq": 1}),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    """With the file and the number of the line."""
    path = tmp_path / "triggers.jsonl"
    with TriggerLog(path) as log:
        log.trigger(trigger(0))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=r"triggers\.jsonl:2: "):
        read_triggers(path)


def test_a_result_that_contradicts_itself_is_no_record(tmp_path: Path) -> None:
    """A PASS with a score above its threshold is refused here as on the wire."""
    path = tmp_path / "results.jsonl"
    with ResultLog(path) as log:
        log.result(received(0))
    path.write_text(path.read_text().replace('"score": 0.25', '"score": 0.75'))
    with pytest.raises(InputError, match="contradicts"):
        read_results(path)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A missing one to read, a folder to write."""
    with pytest.raises(InputError, match="missing"):
        read_triggers(tmp_path / "missing")
    with pytest.raises(InputError, match="cannot be written"):
        TriggerLog(tmp_path)
