"""The verdict thread with real sockets: what subscribers and clients get, when deadlines and much work meet."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from tests.unit.made.verdicts import FAIL, PASS, maps, trigger

from cmfm_protocol.wire.anomaly_map import decode_maps
from cmfm_protocol.wire.control import (
    AnnounceRequest,
    LoadRecipeRequest,
    Reply,
    Request,
    ResultsSinceRequest,
    StatusRequest,
    decode_reply,
    encode_request,
)
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_protocol.wire.state import decode_worker_state
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.clock import NS_PER_MS, SystemClock
from cmfm_worker.line.messages import BookEvent, Closed, Opened, SourceChanged, TriggerKey, fault
from cmfm_worker.line.net.builder import Net
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.records.recorder import Evidence
from cmfm_worker.line.verdicts.builder import ControlActions, new_book, open_verdict_thread
from cmfm_worker.line.verdicts.outputs import Outputs
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.verdict_thread import MAX_POLL_MS
from cmfm_worker.line.verdicts.worker_state import StateReporter
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.network import SocketsSection


class Line:
    """A running verdict thread with subscribers. A test can hold it in `load_recipe`, `note` and `record`."""

    def __init__(self, folder: Path, publisher_type: type[Publisher] = Publisher) -> None:
        names = {name: f"ipc://{folder}/{name}" for name in ("results", "maps", "recovery", "control")}
        settings = Settings(
            sockets=SocketsSection(**names), results={"state_ms": 20}, maps={"publish": "all"}
        )
        self.names = names
        self.context = zmq.Context()
        self.clock = SystemClock()
        self.book = new_book(settings, "boot")
        self.recorded: list[Evidence] = []
        self.late_ns: list[int] = []
        self.noted: list[tuple[int, Verdict, str]] = []
        self.record_s = 0.0
        self.released, self.held, self.note_released = threading.Event(), threading.Event(), threading.Event()
        self.released.set()
        self.note_released.set()
        publisher = publisher_type(self.context, settings)
        state = StateReporter(
            boot_id="boot",
            device="cpu",
            endpoints=["tcp://camera:1"],
            clock=self.clock,
            totals=lambda: self.book.totals,
            queue_free=lambda: 3,
            part_ns=lambda: None,
        )
        self.events: WakeableQueue[BookEvent] = WakeableQueue()
        self.thread = open_verdict_thread(
            settings,
            Net(self.context, Keys(), None),
            boot_id="boot",
            clock=self.clock,
            book=self.book,
            events=self.events,
            queue_free=lambda: 3,
            publisher=publisher,
            outputs=Outputs(
                publisher=publisher,
                worker_state=lambda: state.message(["bagel"]),
                update_source=state.source_changed,
                clock=self.clock,
                note=self.note,
                observe=lambda _result, late_ns: self.late_ns.append(late_ns),
                record=self.record,
            ),
            requests=ControlActions(
                worker_state=lambda: state.message(["bagel"]),
                announce=lambda message, done: done(None if message.seq < 9 else "too far"),
                load_recipe=self.load_recipe,
                drain=lambda: None,
            ),
        )
        self.results = self.subscribe(names["results"], b"cmfm/1/line1/station1/result/")
        self.states = self.subscribe(names["results"], b"cmfm/1/line1/station1/state/")
        self.maps = self.subscribe(names["maps"], b"")
        self.thread.start()
        self.states.recv_multipart()  # the subscriptions have arrived

    def note(self, result: Result, *, recipe_sha: str) -> None:
        self.held.set()
        assert self.note_released.wait(10)
        self.noted.append((result.result_id, result.verdict, recipe_sha))

    def record(self, evidence: Evidence) -> None:
        time.sleep(self.record_s)
        self.recorded.append(evidence)

    def load_recipe(self, name: str, done: Callable[[str | None], None]) -> None:
        self.held.set()
        assert self.released.wait(10)
        done(None if name == "bagel" else f"no recipe {name}")

    def subscribe(self, endpoint: str, prefix: bytes) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, prefix)
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.connect(endpoint)
        return socket

    def open(self, seq: int, deadline_ms: float = 10_000) -> TriggerKey:
        deadline_ns = self.clock.monotonic_ns() + int(deadline_ms * NS_PER_MS)
        opened = trigger(seq, deadline_ns, trigger_ns=self.clock.realtime_ns())
        self.events.post(Opened(opened))
        return opened.key

    def result(self) -> Result:
        return decode_result(self.results.recv_multipart())

    def ask(self, name: str, request: Request) -> Reply:
        socket = self.context.socket(zmq.REQ)
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.connect(self.names[name])
        socket.send(encode_request(request))
        reply = decode_reply(socket.recv())
        socket.close(0)
        return reply

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold the thread inside a request: what is posted meanwhile waits."""
        self.held.clear()
        self.released.clear()
        asking = threading.Thread(target=self.ask, args=("control", LoadRecipeRequest("1", "bagel")))
        asking.start()
        assert self.held.wait(10)
        yield
        self.released.set()
        asking.join(10)


@contextmanager
def running(folder: Path, publisher_type: type[Publisher] = Publisher) -> Iterator[Line]:
    line = Line(folder, publisher_type)
    try:
        yield line
    finally:
        line.thread.stop(timeout_s=10)
        for socket in (line.results, line.states, line.maps):
            socket.close(0)
        line.context.term()
        line.events.close()
        assert line.thread.failure is None


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
