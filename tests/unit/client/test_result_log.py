"""The durable record of results: continued after a kill, nothing twice, gaps known."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.unit.made.line_messages import received

from cmfm_client.errors import RecordError
from cmfm_client.events import Received
from cmfm_client.json_lines import cut_torn_line, read_json_lines
from cmfm_client.received_ids import IdRange, ReceivedIds
from cmfm_client.result_log import ResultLog, read_received_ids
from cmfm_protocol.wire.verdict import Verdict


def write(path: Path, *seqs: int, resume: bool = False) -> None:
    with ResultLog(path, resume=resume) as log:
        for seq in seqs:
            log.write(received(seq))


def test_line_holds_all_that_a_result_says(tmp_path: Path) -> None:
    """Live results with the time of their arrival, recovered ones without."""
    items: list[Received] = [
        received(1, Verdict.FAIL, peak_px=(3, 4), peak_xyz_m=(0.0, 0.1, 0.5), coverage=0.5),
        received(2, Verdict.FAULT, after_ms=None, detail="gone"),
    ]
    with ResultLog(tmp_path / "new" / "r.jsonl") as log:
        for item in items:
            log.write(item)
    lines = [line for _, line in read_json_lines(tmp_path / "new" / "r.jsonl")]
    assert [line["received_ns"] for line in lines] == [items[0].received_ns, None]
    assert [line["result"] for line in lines] == [json.loads(json.dumps(asdict(i.result))) for i in items]


def test_resumed_record_knows_what_it_holds(tmp_path: Path) -> None:
    """A line that a kill tore is cut off and its result is wanted again; gaps are owed."""
    path = tmp_path / "r.jsonl"
    write(path, 0, 3, 4)
    path.write_bytes(path.read_bytes()[:-20])
    with ResultLog(path, resume=True) as log:
        assert log.received == {"boot": ReceivedIds(newest=4, owed=[IdRange(2, 3)])}
        log.write(received(4))
    assert [line["result"]["result_id"] for _, line in read_json_lines(path)] == [1, 4, 5]


def test_result_that_came_late_fills_its_gap(tmp_path: Path) -> None:
    """The last line need not be the newest result."""
    write(tmp_path / "r.jsonl", 0, 2, 1)
    assert read_received_ids(tmp_path / "r.jsonl") == {"boot": ReceivedIds(newest=3)}


@pytest.mark.parametrize(("from_start", "owed"), [(False, []), (True, [IdRange(1, 7)])])
def test_results_before_the_first_are_owed_only_from_the_start(
    tmp_path: Path, from_start: bool, owed: list[IdRange]
) -> None:
    """A record that began in the middle of a boot is not completed backwards unless that is wanted."""
    write(tmp_path / "r.jsonl", 7)
    assert read_received_ids(tmp_path / "r.jsonl", from_start=from_start)["boot"].owed == owed


def test_record_that_is_not_resumed_starts_anew(tmp_path: Path) -> None:
    """The former content is replaced."""
    write(tmp_path / "r.jsonl", 0, 1)
    write(tmp_path / "r.jsonl", 5)
    assert [line["result"]["result_id"] for _, line in read_json_lines(tmp_path / "r.jsonl")] == [6]


@pytest.mark.parametrize("content", [b"", b"torn", b'{"a": 1}\n', b'{"a": 1}\ntorn' + b"x" * 200_000])
def test_only_a_torn_line_is_cut(tmp_path: Path, content: bytes) -> None:
    """Whole lines stay, however long the torn one is."""
    path = tmp_path / "r"
    path.write_bytes(content)
    cut_torn_line(path)
    assert path.read_bytes() == content[: content.rfind(b"\n") + 1]


@pytest.mark.parametrize("line", ["not json", "[]", "{}", '{"result": {"boot_id": "b"}}'])
def test_line_that_is_not_a_record_is_named(tmp_path: Path, line: str) -> None:
    """With the file and the number of the line."""
    path = tmp_path / "r.jsonl"
    write(path, 0)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RecordError, match=r"r\.jsonl:2: "):
        ResultLog(path, resume=True)


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder in its place."""
    with pytest.raises(RecordError, match="cannot be written"):
        ResultLog(tmp_path)
