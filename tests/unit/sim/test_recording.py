"""A record that goes on after its subscriber was killed: complete, and nothing twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cmfm_sim.record import Received, ResultLog, cut_torn_line, read_results
from cmfm_sim.recording import Had, Recording, read_had
from cmfm_sim.result_order import Missing
from cmfm_sim.subscriber import Event, Lost

from .made_values import received, result, worker_state


class SlowWorker:
    """Publishes what it is given; asked for missed results it answers only the second time."""

    def __init__(self, *batches: list[Event]) -> None:
        self._batches = iter(batches)
        self.asked: list[Missing] = []

    def poll(self, timeout_s: float) -> list[Event]:
        return next(self._batches, [])

    def catch_up(self) -> list[Event]:
        return []

    def ask_again(self, missing: Missing) -> list[Received]:
        self.asked.append(missing)
        numbers = range(missing.first_id - 1, missing.last_id)
        return [Received(result(seq), None) for seq in numbers] if len(self.asked) > 1 else []


def run(worker: SlowWorker, path: Path, polls: int) -> None:
    left: Iterator[bool] = iter([False] * polls)
    with ResultLog(path, resume=True) as log:
        Recording(worker, log, None, read_had(path)).run(lambda: next(left, True))


def test_missed_results_are_asked_for_until_they_come(tmp_path: Path) -> None:
    """A worker that hangs does not answer at once; its results are not given up for that."""
    state = worker_state({})
    worker = SlowWorker([Lost(Missing("boot", 1, 2)), received(2), state], [received(3), state], [state])
    run(worker, tmp_path / "r", 4)
    assert sorted(item.result.result_id for item in read_results(tmp_path / "r")) == [1, 2, 3, 4]
    assert len(worker.asked) == 2


def test_record_goes_on_after_a_kill(tmp_path: Path) -> None:
    """The line that was being written is cut off, its result taken again, and none is recorded twice."""
    path = tmp_path / "r"
    run(SlowWorker([received(0), received(1)]), path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    cut_torn_line(path)
    assert read_had(path)["boot"].newest == 1
    run(SlowWorker([received(0), received(1), received(2)]), path, 1)
    assert [item.result.result_id for item in read_results(path)] == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"torn", b'{"a": 1}\n', b'{"a": 1}\ntorn' + b"x" * 200_000])
def test_only_a_torn_line_is_cut(tmp_path: Path, content: bytes) -> None:
    """Whole lines stay, however long the torn one is."""
    path = tmp_path / "r"
    path.write_bytes(content)
    cut_torn_line(path)
    assert path.read_bytes() == content[: content.rfind(b"\n") + 1]


def test_holes_of_an_earlier_run_are_known(tmp_path: Path) -> None:
    """What was missed before the kill is still owed after it."""
    with ResultLog(tmp_path / "r") as log:
        for seq in (0, 3):
            log.result(received(seq))
    assert read_had(tmp_path / "r") == {"boot": Had(newest=4, owed={2, 3})}
