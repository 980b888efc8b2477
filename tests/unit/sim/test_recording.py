"""Taking a subscriber's events into a record and an event log."""

from collections.abc import Iterator
from pathlib import Path

from tests.unit.made.line_messages import received, worker_state

from cmfm_client.events import Event, LinkChanged, LossCause, Lost, NewBoot
from cmfm_client.json_lines import read_json_lines
from cmfm_client.received_ids import Missing
from cmfm_client.result_log import ResultLog
from cmfm_sim.recording import EventLog, Recording


class Played:
    """Gives out batches of events; the last one when it is asked to catch up."""

    def __init__(self, *batches: list[Event], last: list[Event] | None = None) -> None:
        self._batches = iter(batches)
        self._last = last or []

    def poll(self, timeout_s: float) -> list[Event]:
        return next(self._batches, [])

    def catch_up(self) -> list[Event]:
        return self._last


def run(source: Played, path: Path, polls: int, events: EventLog | None = None) -> int:
    left: Iterator[bool] = iter([False] * polls)
    with ResultLog(path, resume=True) as log:
        recording = Recording(source, log, events)
        recording.run(lambda: next(left, True))
    return recording.results


def test_results_are_recorded_until_the_end(tmp_path: Path) -> None:
    """With those that are there when it is stopped, and those that it asks for then."""
    source = Played([received(0)], [received(1)], last=[received(2)])
    assert run(source, tmp_path / "r", 1) == 3
    assert [line["result"]["result_id"] for _, line in read_json_lines(tmp_path / "r")] == [1, 2, 3]


def test_other_events_are_logged_with_their_time(tmp_path: Path) -> None:
    """A heartbeat that says nothing new is left out."""
    events = EventLog(tmp_path / "e")
    said: list[Event] = [
        LinkChanged(True),
        worker_state({}),
        worker_state({}),
        NewBoot("second", "boot", 7),
        Lost(Missing("boot", 1, 2), LossCause.TOO_OLD),
    ]
    run(Played(said), tmp_path / "r", 1, events)
    events.close()
    lines = [line for _, line in read_json_lines(tmp_path / "e")]
    assert [line["event"] for line in lines] == ["link", "state", "new_boot", "lost"]
    assert lines[-1]["cause"] == "too_old"
    assert all(line["at_ns"] > 0 for line in lines)
