"""Triggers on disk: what is written is read back, whatever became of the writer."""

import json
from pathlib import Path

import pytest

from cmfm_client.errors import RecordError
from cmfm_sim.faults import FaultKind
from cmfm_sim.trigger_log import TriggerLog, read_triggers

from .made_values import trigger


def test_triggers_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    """With their faults, and whether their frame was sent."""
    path = tmp_path / "new" / "triggers.jsonl"
    records = [trigger(0), trigger(1, faults=(FaultKind.DROP,)), trigger(2, label=1, defect="hole")]
    with TriggerLog(path) as log:
        for record in records:
            log.trigger(record)
        log.not_sent("stream", 2)
    assert read_triggers(path) == [*records[:2], trigger(2, label=1, defect="hole", sent=False)]


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
    with pytest.raises(RecordError, match=r"triggers\.jsonl:2: "):
        read_triggers(path)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A missing one to read, a folder to write."""
    with pytest.raises(RecordError, match="missing"):
        read_triggers(tmp_path / "missing")
    with pytest.raises(RecordError, match="cannot be written"):
        TriggerLog(tmp_path)
