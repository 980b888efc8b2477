"""The verdict thread with real sockets: what subscribers and clients get, when deadlines and much work meet."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.verdict_line import Line, running
from tests.unit.made.verdicts import FAIL, PASS, maps

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.anomaly_map import decode_maps
from cmfm_protocol.wire.control import (
    AnnounceRequest,
    LoadRecipeRequest,
    ResultsPage,
    ResultsSinceRequest,
    StatusRequest,
)
from cmfm_protocol.wire.record_requests import AuditRequest, CollectRequest
from cmfm_protocol.wire.state import decode_worker_state
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import Closed, SourceChanged, fault
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.verdict_thread import MAX_POLL_MS


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with running(tmp_path) as line:
        yield line


def test_decision_is_sent_at_once(line: Line) -> None:
    """A decision is on the wire with the ids of its trigger, is recorded, and its lateness is observed."""
    line.events.post(Closed(line.open(4), PASS))
    result = line.result()
    assert (result.seq, result.part_id, result.verdict, result.result_id) == (4, "p4", Verdict.PASS, 1)
    assert (result.deadline_met, result.queue_free) == (True, 3)
    line.ask("control", StatusRequest("1"))  # answered after all that belongs to the verdict
    assert [evidence.result for evidence in line.recorded] == [result]
    assert line.late_ns[0] < 0


def test_deadline_is_kept_without_a_decision(line: Line) -> None:
    """A part that nobody decides gets its FAULT when its deadline passes, and a later PASS changes nothing."""
    started = time.monotonic()
    key = line.open(1, deadline_ms=60)
    result = line.result()
    assert (result.verdict, result.reason) == (Verdict.FAULT, Reason.DEADLINE)
    assert time.monotonic() - started >= 0.06
    line.events.post(Closed(key, PASS))
    line.events.post(Closed(line.open(2), PASS))
    assert line.result().seq == 2
    assert line.book.totals.noticed["decision_after_verdict"] == 1


def test_verdict_is_noted_before_it_is_sent(line: Line) -> None:
    """As long as the journal has not taken a verdict, no subscriber gets it: a worker after kill -9 knows of it."""
    line.note_released.clear()
    line.events.post(Closed(line.open(1), replace(FAIL, recipe_sha="c" * 64)))
    assert line.held.wait(10)
    arrived = line.results.poll(200)
    line.note_released.set()
    assert not arrived
    result = line.result()
    assert line.noted == [(result.result_id, Verdict.FAIL, "c" * 64)]


def test_maps_follow_with_the_reference_of_their_result(line: Line) -> None:
    """The map message names the result that it belongs to."""
    line.events.post(Closed(line.open(1), replace(FAIL, maps=maps())))
    result = line.result()
    received = decode_maps(line.maps.recv_multipart())
    assert received.map_ref == result.map_ref == "boot/1"
    assert (received.psi_3d == maps().psi_3d).all()


def test_missed_results_can_be_asked_for(line: Line) -> None:
    """Results after an id come back as they were sent, in order, in pages."""
    for seq in range(5):
        line.events.post(Closed(line.open(seq), fault(Reason.LOST)))
    sent = [line.result() for _ in range(5)]
    page = line.ask("recovery", ResultsSinceRequest("q", "boot", result_id=1, limit=2)).page
    assert page is not None
    assert list(page.results) == sent[1:3]
    assert (page.newest_id, page.complete) == (5, False)
    rest = line.ask("recovery", ResultsSinceRequest("q", "boot", result_id=3)).page
    assert rest is not None
    assert list(rest.results) == sent[3:]
    assert rest.complete


def test_results_of_another_boot_are_not_claimed_complete(line: Line) -> None:
    """A subscriber that knew the worker's former boot learns that something may be missing."""
    line.events.post(Closed(line.open(0), fault(Reason.LOST)))
    line.result()
    page = line.ask("recovery", ResultsSinceRequest("q", "former", result_id=9)).page
    assert page is not None
    assert (page.boot_id, len(page.results), page.complete) == ("boot", 1, False)


def test_trigger_is_announced_on_the_control_socket(line: Line) -> None:
    """The reply says whether the announced number was accepted."""
    message = TriggerMessage("cam", 3, "p3", 1, 100.0, "bagel")
    assert line.ask("control", AnnounceRequest("1", message)).ok
    refused = line.ask("control", AnnounceRequest("2", replace(message, seq=9)))
    assert (refused.ok, refused.error) == (False, "too far")


def test_control_answers_status_and_recipes(line: Line) -> None:
    """Status tells the counts; an unknown recipe is refused with its name."""
    line.open(1)
    line.events.post(Closed(line.open(0), PASS))
    line.result()
    state = line.ask("control", StatusRequest("1")).state
    assert state is not None
    assert state.counts == {"triggers": 2, "pass": 1, "fail": 0, "undecided": 0, "fault": 0}
    assert (state.in_flight, state.recipes, state.queue_free) == (1, ("bagel",), 3)
    assert line.ask("control", LoadRecipeRequest("2", "bagel")).ok
    refused = line.ask("control", LoadRecipeRequest("3", "cookie"))
    assert not refused.ok
    assert "cookie" in refused.error


def test_control_answers_for_the_threads_that_write(line: Line) -> None:
    """The answer of collector and ledger comes back under the id of its request."""
    assert line.ask("control", CollectRequest("1", "bagel", 30)).ok
    entry = AuditRequest("2", "e1", 1, "ann", "recipe.use")
    assert line.ask("control", entry).ok
    for request in (CollectRequest("3", "lid", 30), replace(entry, id="4", who="bob")):
        refused = line.ask("control", request)
        assert (refused.id, refused.ok, refused.error) == (request.id, False, "full")


def test_camera_is_in_the_worker_state(line: Line) -> None:
    """A camera that connected and went away is in the next state message."""
    line.events.post(SourceChanged("tcp://camera:1", alive=True))
    line.events.post(SourceChanged("tcp://camera:1", alive=False))
    states = [decode_worker_state(line.states.recv_multipart()) for _ in range(10)]
    seen = [state.sources[0].alive for state in states if state.sources[0].last_seen_ns]
    assert seen[:2] == [True, False]


def test_open_triggers_get_their_fault_at_the_end(tmp_path: Path) -> None:
    """Stopping leaves no trigger without a verdict, and a last state message counts them."""
    with running(tmp_path) as line:
        line.open(1)
        line.thread.stop(timeout_s=10)
        result = line.result()
        assert (result.verdict, result.reason) == (Verdict.FAULT, Reason.DRAINING)
        assert (line.book.totals.triggers, line.book.totals.closed, line.book.totals.open) == (1, 1, 0)


def test_maps_that_wait_are_sent_at_the_end(tmp_path: Path) -> None:
    """A stop loses no map of a verdict that was given."""
    with running(tmp_path) as line:
        with line.holding():
            for seq in range(8):
                line.events.post(Closed(line.open(seq), replace(PASS, maps=maps())))
            stopping = threading.Thread(target=line.thread.stop, kwargs={"timeout_s": 10})
            stopping.start()
        stopping.join(10)
        assert [decode_maps(line.maps.recv_multipart()).seq for _ in range(8)] == list(range(8))


def test_idle_thread_keeps_deadlines_on_time(line: Line) -> None:
    """Parts that nobody decides get their FAULT when their deadlines pass: not later, and not sooner."""
    for seq in range(40):
        line.open(seq, deadline_ms=100 + 7.3 * seq)
    assert {line.result().reason for _ in range(40)} == {Reason.DEADLINE}
    line.ask("control", StatusRequest("1"))
    late_ns = sorted(line.late_ns)
    assert late_ns[0] >= 0
    # The median: a busy machine wakes the thread late now and then.
    assert late_ns[20] < MAX_POLL_MS * NS_PER_MS / 2


def test_events_that_wait_do_not_delay_a_deadline(line: Line) -> None:
    """While a backlog of events is handled that takes a second, a deadline is kept between two of them."""
    line.record_s = 0.02
    with line.holding():
        line.open(100, deadline_ms=300)
        for seq in range(50):
            line.events.post(Closed(line.open(seq), PASS))
    order = [line.result().seq for _ in range(51)]
    assert order.index(100) < 40


def test_deadline_is_kept_between_two_requests(line: Line) -> None:
    """A deadline that passes during one request is kept before the next request is served."""
    line.open(1, deadline_ms=400)
    while line.book.totals.open == 0:
        time.sleep(0.001)
    pages: list[ResultsPage | None] = []
    with line.holding():
        asking = threading.Thread(
            target=lambda: pages.append(line.ask("recovery", ResultsSinceRequest("q", "boot", 0)).page)
        )
        asking.start()
        time.sleep(0.5)
    asking.join(10)
    (page,) = pages
    assert page is not None
    assert [result.reason for result in page.results] == [Reason.DEADLINE]


class SlowMaps(Publisher):
    """A publisher that takes 40 ms for a map."""

    def maps(self, message: Sequence[bytes | memoryview]) -> None:
        time.sleep(0.04)
        super().maps(message)


def test_maps_delay_no_verdict(tmp_path: Path) -> None:
    """While maps are sent that take a second, deadlines are kept and decisions are sent between two maps."""
    with running(tmp_path, SlowMaps) as line:
        for seq in range(25):
            line.events.post(Closed(line.open(seq), replace(PASS, maps=maps())))
        due = [line.open(100 + seq, deadline_ms=100 + 50 * seq) for seq in range(12)]
        results = [line.result() for _ in range(25 + len(due))]
        assert [result.seq for result in results if result.reason is Reason.DEADLINE] == [k.seq for k in due]
        line.events.post(Closed(line.open(200), PASS))
        assert line.result().seq == 200
        assert max(line.late_ns) < 200 * NS_PER_MS
