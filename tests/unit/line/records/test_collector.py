"""Collected parts: what is kept of what runs by, a disk that refuses, and that the line never waits for either."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.verdicts import evidence, frame

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.record_requests import CollectRequest
from cmfm_protocol.wire.state import CollectState
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.archived_part import frame_sha256, read_archived_part
from cmfm_records.collected import read_product
from cmfm_worker.line.records.archive_folder import write_part
from cmfm_worker.line.records.collector import RESERVE_BYTES, Collector
from cmfm_worker.line.records.recorder import Evidence

LIMIT_S = 30


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """A collector over a folder that is not there yet."""
    collector = Collector(tmp_path / "collected", max_mb=100)
    yield collector
    collector.close()


def offer(collector: Collector, *parts: Evidence) -> None:
    for part in parts:
        assert part.frame is not None
        collector.keep(part, frame_sha256(part.frame.rgb, part.frame.xyz))


def ask(collector: Collector, product: str = "cap", wanted: int = 3, **changes: object) -> str | None:
    """Ask for parts as the control socket does; returns the error."""
    heard: list[str | None] = []
    told = threading.Event()

    def done(error: str | None) -> None:
        heard.append(error)
        told.set()

    request = CollectRequest(f"{time.monotonic_ns()}", product, wanted)
    collector.begin(replace(request, **changes), done)  # type: ignore[arg-type]
    assert told.wait(LIMIT_S)
    assert len(heard) == 1
    return heard[0]


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def state(collector: Collector) -> CollectState:
    found = collector.state()
    assert found is not None
    return found


def ids(tmp_path: Path, product: str = "cap") -> list[int]:
    return [part.facts["result_id"] for part in read_product(tmp_path / "collected", product).parts]


def test_nothing_is_kept_unasked(collector: Collector, tmp_path: Path) -> None:
    """Before a request there is neither a folder nor a state."""
    offer(collector, evidence(1))
    assert collector.state() is None
    assert not (tmp_path / "collected").exists()


def test_parts_are_kept_until_there_are_enough(collector: Collector, tmp_path: Path) -> None:
    """Frames are kept bit for bit, also of PASS and of an unknown recipe; then no further part is."""
    assert ask(collector) is None
    unknown = evidence(2, Verdict.FAULT, reason=Reason.UNKNOWN_RECIPE, score=None)
    offer(
        collector, evidence(1, Verdict.PASS), replace(unknown, maps=None), *(evidence(i) for i in range(3, 9))
    )
    until(lambda: state(collector).collected == 3)
    assert ids(tmp_path) == [1, 2, 3]
    second = read_product(tmp_path / "collected", "cap").parts[1]
    assert read_archived_part(second.folder).xyz.tobytes() == frame(2).xyz.tobytes()
    assert second.use == "good"
    assert state(collector) == CollectState("cap", wanted=3, collected=3, dropped=0)


def test_one_in_n_and_of_one_recipe(collector: Collector, tmp_path: Path) -> None:
    """Parts whose frames name another recipe neither count nor are kept; of the others each third is."""
    assert ask(collector, wanted=2, every=3, frames_of="r") is None
    other = frame(0)
    other = replace(other, header=replace(other.header, recipe="other"))
    for number in range(1, 8):
        offer(collector, replace(evidence(100 + number), frame=other), evidence(number))
    until(lambda: state(collector).collected == 2)
    assert ids(tmp_path) == [1, 4]


def test_stop_keeps_what_was_taken(collector: Collector, tmp_path: Path) -> None:
    """Stopping ends it at what there is, and a second stop, or one before any request, is no error."""
    assert ask(collector, wanted=0) is None
    assert ask(collector, wanted=50) is None
    offer(collector, evidence(1), evidence(2))
    assert ask(collector, wanted=0) is None
    offer(collector, evidence(3))
    until(lambda: state(collector).collected == 2)
    assert ask(collector, wanted=0) is None
    assert state(collector).wanted == 2
    assert ids(tmp_path) == [1, 2]


def test_new_request_replaces_the_one_before(collector: Collector, tmp_path: Path) -> None:
    """Counts begin anew; what the first product has stays."""
    assert ask(collector, wanted=50) is None
    offer(collector, evidence(1))
    assert ask(collector, "lid", wanted=1) is None
    offer(collector, evidence(2))
    until(lambda: state(collector).collected == 1)
    assert state(collector).product == "lid"
    assert (ids(tmp_path), ids(tmp_path, "lid")) == ([1], [2])


def test_folder_that_cannot_be_made_refuses_the_request(tmp_path: Path) -> None:
    """The answer names the folder; the request before it goes on, and so does the thread."""
    (tmp_path / "file").write_text("")
    collector = Collector(tmp_path / "file" / "collected", max_mb=100)
    error = ask(collector)
    assert error is not None
    assert "file/collected/cap: cannot be written (Not a directory)" in error
    assert collector.state() is None
    offer(collector, evidence(1))
    (tmp_path / "file").unlink()
    assert ask(collector) is None
    collector.close()


def test_slow_disk_drops_parts_and_never_blocks(tmp_path: Path) -> None:
    """Parts that find no room in the queue are counted, and later ones take their places."""
    disk_answers = threading.Event()

    def held(
        parent: Path, part: Evidence, received: Frame, sha256: str, made_on: Mapping[str, object]
    ) -> int:
        assert disk_answers.wait(LIMIT_S)
        return write_part(parent, part, received, sha256, made_on)

    collector = Collector(tmp_path / "collected", max_mb=100, write=held)
    assert ask(collector, wanted=25) is None
    offer(collector, *(evidence(i) for i in range(1, 31)))
    assert 13 <= state(collector).dropped <= 14
    assert "keep up" in state(collector).detail
    disk_answers.set()
    until(lambda: state(collector).collected >= 16)
    for number in range(31, 41):
        before = state(collector).collected
        offer(collector, evidence(number))
        until(lambda before=before: state(collector).collected > before or before == 25)  # type: ignore[misc]
    assert state(collector).collected == 25
    collector.close()
    assert len(ids(tmp_path)) == 25


def test_disk_that_refuses_costs_the_part_alone(collector: Collector, tmp_path: Path) -> None:
    """A part that cannot be written is counted and leaves nothing behind; the next one is written in its place."""
    assert ask(collector, wanted=1) is None
    parts = tmp_path / "collected" / "cap" / "parts"
    shutil.rmtree(parts)
    offer(collector, evidence(1))
    until(lambda: state(collector).dropped == 1)
    assert state(collector).detail == "No such file or directory"
    parts.mkdir()
    offer(collector, evidence(2))
    until(lambda: state(collector).collected == 1)
    assert ids(tmp_path) == [2]


def test_room_is_left_for_the_ledger(tmp_path: Path) -> None:
    """Collecting ends before the disk is full, and before the settings' size; both are said."""
    free = [RESERVE_BYTES]
    collector = Collector(tmp_path / "collected", max_mb=1.2, free=lambda _: free[0])
    assert ask(collector) is None
    offer(collector, evidence(1))
    until(lambda: state(collector).dropped == 1)
    assert "256 MB free" in state(collector).detail
    free[0] = RESERVE_BYTES * 2
    offer(collector, evidence(2), evidence(3))
    until(lambda: state(collector).dropped == 2)
    assert "[collected] max_mb = 1.2" in state(collector).detail
    collector.close()
    assert ids(tmp_path) == [2]


def test_half_written_parts_of_a_killed_worker_go(collector: Collector, tmp_path: Path) -> None:
    """The next request for the product removes them; whole parts stay and count for the size."""
    torn = tmp_path / "collected" / "cap" / "parts" / ".partial-20260202T024007000Z_b_7"
    torn.mkdir(parents=True)
    assert ask(collector) is None
    assert list(torn.parent.iterdir()) == []
