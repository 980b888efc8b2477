"""The desk: on the wire each trigger has exactly one verdict, and no PASS after its deadline."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq
from tests.unit.made.verdicts import frame, maps

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
from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.result import Region, Result, decode_result
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.clock import NS_PER_MS, SystemClock
from cmfm_worker.line.messages import (
    Arrived,
    Closed,
    Decision,
    Opened,
    PartMaps,
    SourceChanged,
    Trigger,
    TriggerKey,
    fault,
)
from cmfm_worker.line.records.recorder import Evidence
from cmfm_worker.line.verdicts.account import Account
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.requests import ControlServer, RecoveryServer
from cmfm_worker.line.verdicts.verdict_thread import MAX_POLL_MS, BookOptions, VerdictThread
from cmfm_worker.line.verdicts.worker_state import LineState
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.network import SocketsSection


class Line:
    """A running desk with a subscriber."""

    def __init__(self, folder: Path, publisher_type: type[Publisher] = Publisher) -> None:
        names = {name: f"ipc://{folder}/{name}" for name in ("results", "maps", "recovery", "control")}
        settings = Settings(sockets=SocketsSection(**names))
        self.context = zmq.Context()
        self.clock = SystemClock()
        self.account = Account()
        self.drained = False
        self.recorded: list[Evidence] = []
        self.late_ns: list[int] = []
        self.noted: list[tuple[int, Verdict, str]] = []
        self.gate, self.held = threading.Event(), threading.Event()
        self.gate.set()
        publisher = publisher_type(self.context, settings)
        state = LineState(boot_id="boot", device="cpu", endpoints=["tcp://camera:1"], clock=self.clock)
        self.desk = VerdictThread(
            account=self.account,
            options=BookOptions("boot", state_ms=20, maps="all"),
            publisher=publisher,
            recovery=RecoveryServer(self.context, names["recovery"], publisher.history, "boot"),
            control=ControlServer(
                self.context,
                names["control"],
                state=lambda: state.message(self.account, queue_free=3, recipes=["bagel"], part_ns=None),
                announce=lambda message, done: done(None if message.seq < 9 else "too far"),
                load_recipe=self._load,
                drain=lambda: setattr(self, "drained", True),
            ),
            sinks=(),
            queue_free=lambda: 3,
            state=lambda: state.message(self.account, queue_free=3, recipes=["bagel"], part_ns=None),
            on_source=state.source_changed,
            clock=self.clock,
            record=self.recorded.append,
            note=self.note,
            lateness=self.late_ns.append,
        )
        self.results = self.subscribe(names["results"], b"cmfm/1/line1/station1/result/")
        self.states = self.subscribe(names["results"], b"cmfm/1/line1/station1/state/")
        self.maps = self.subscribe(names["maps"], b"")
        self.names = names
        self.desk.start()
        self.states.recv_multipart()  # the subscriptions have arrived

    def note(self, result: Result, *, recipe_sha: str) -> None:
        self.noted.append((result.result_id, result.verdict, recipe_sha))

    def _load(self, name: str, done: Callable[[str | None], None]) -> None:
        """Runs in the desk's thread: a test can hold it here."""
        self.held.set()
        assert self.gate.wait(10)
        done(None if name == "bagel" else f"no recipe {name}")

    def subscribe(self, endpoint: str, prefix: bytes) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, prefix)
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.connect(endpoint)
        return socket

    def open(self, seq: int, deadline_ms: float = 10_000) -> TriggerKey:
        key, now_ns = TriggerKey("cam", seq), self.clock.realtime_ns()
        deadline_ns = self.clock.monotonic_ns() + int(deadline_ms * NS_PER_MS)
        self.desk.post(
            Opened(Trigger(key, f"p{seq}", "bagel", "", now_ns, now_ns, deadline_ns, simulated=True))
        )
        return key

    def result(self) -> Result:
        return decode_result(self.results.recv_multipart())

    def settle(self) -> None:
        """Wait until everything posted so far has been taken."""
        self.desk.post(Closed(self.open(10**6), fault(Reason.LOST)))
        while self.result().seq != 10**6:
            pass

    def ask(self, name: str, request: Request) -> Reply:
        socket = self.context.socket(zmq.REQ)
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.connect(self.names[name])
        socket.send(encode_request(request))
        reply = decode_reply(socket.recv())
        socket.close(0)
        return reply


@contextmanager
def running(folder: Path, publisher_type: type[Publisher] = Publisher) -> Iterator[Line]:
    line = Line(folder, publisher_type)
    try:
        yield line
    finally:
        line.desk.stop(timeout_s=10)
        for socket in (line.results, line.states, line.maps):
            socket.close(0)
        line.context.term()
        assert line.desk.failure is None


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with running(tmp_path) as line:
        yield line


PASS = Decision(Verdict.PASS, Reason.BELOW_THRESHOLD, score=0.5, threshold=1.0, model_sha="m")


def test_decision_goes_out_at_once(line: Line) -> None:
    """A decision is on the wire with the ids of its trigger."""
    line.desk.post(Closed(line.open(4), PASS))
    result = line.result()
    assert (result.seq, result.part_id, result.verdict, result.result_id) == (4, "p4", Verdict.PASS, 1)
    assert result.deadline_met


def test_deadline_is_kept_without_a_decision(line: Line) -> None:
    """A part that nobody decides gets its FAULT when its deadline passes, and a later PASS changes nothing."""
    started = time.monotonic()
    key = line.open(1, deadline_ms=60)
    result = line.result()
    assert (result.verdict, result.reason) == (Verdict.FAULT, Reason.DEADLINE)
    assert time.monotonic() - started >= 0.06
    line.desk.post(Closed(key, PASS))
    line.desk.post(Closed(line.open(2), PASS))
    assert line.result().seq == 2
    assert line.account.counts.noticed["decision_after_verdict"] == 1


def test_late_pass_is_a_fault(line: Line) -> None:
    """A PASS that was computed too late never leaves as PASS."""
    now_ns = line.clock.realtime_ns()
    overdue = Trigger(TriggerKey("cam", 1), "p1", "bagel", "", now_ns, now_ns, 0, simulated=True)
    line.desk.post(Opened(overdue, PASS))
    result = line.result()
    assert (result.verdict, result.reason, result.deadline_met) == (Verdict.FAULT, Reason.DEADLINE, False)
    assert result.detail == "decided too late"


def test_maps_follow_with_the_reference_of_their_result(line: Line) -> None:
    """The map message names the result it belongs to."""
    plane = np.zeros((224, 224), np.float32)
    maps = PartMaps(plane + 1, plane + 2, plane + 3, np.zeros((224, 224, 3), np.uint8), plane, plane > 0)
    decision = Decision(
        Verdict.FAIL, Reason.ABOVE_THRESHOLD, score=2.0, threshold=1.0, model_sha="m", maps=maps
    )
    line.desk.post(Closed(line.open(1), decision))
    result = line.result()
    received = decode_maps(line.maps.recv_multipart())
    assert received.map_ref == result.map_ref == "boot/1"
    assert (received.psi_3d == 3).all()


def decided(line: Line, seq: int, deadline_ns: int) -> tuple[Result, Frame, Decision]:
    """Open a trigger with a frame and decide it at once: its result, frame and decision."""
    key, sent, now_ns = TriggerKey("cam", seq), frame(seq), line.clock.realtime_ns()
    decision = replace(PASS, maps=maps(), recipe_sha="c" * 64)
    trigger = Trigger(key, "p", "bagel", "", now_ns, now_ns, deadline_ns, simulated=True, frame=sent)
    line.desk.post(Opened(trigger, decision))
    result = line.result()
    line.ask("control", StatusRequest("q"))  # answered after all that belongs to the verdict
    return result, sent, decision


def test_verdict_is_recorded_with_what_it_was_found_from(line: Line) -> None:
    """The record gets the very result of the wire, the frame as received, the maps and the recipe."""
    result, sent, decision = decided(line, 1, deadline_ns=1 << 62)
    found = line.recorded[-1]
    assert (found.result, found.frame, found.recipe_sha) == (result, sent, "c" * 64)
    assert found.maps is decision.maps


def test_late_decision_is_recorded_with_its_recipe(line: Line) -> None:
    """The FAULT that a late PASS becomes is recorded with the frame and the recipe, and without maps."""
    result, sent, _ = decided(line, 1, deadline_ns=0)
    assert (result.reason, result.detail) == (Reason.DEADLINE, "decided too late")
    found = line.recorded[-1]
    assert (found.result, found.frame, found.recipe_sha, found.maps) == (result, sent, "c" * 64, None)


def test_regions_of_a_defect_are_in_the_result(line: Line) -> None:
    """Where a part is defective goes out with its FAIL, and not with the FAULT that a late FAIL becomes."""
    region = Region((10, 20, 30, 40), 400, 12.5, 2.0, (15, 25), "3d")
    decision = Decision(
        Verdict.FAIL, Reason.ABOVE_THRESHOLD, score=2.0, threshold=1.0, model_sha="m", regions=(region,)
    )
    line.desk.post(Closed(line.open(1), decision))
    assert line.result().regions == (region,)
    line.desk.post(Closed(line.open(2, deadline_ms=0), decision))
    assert line.result().regions == ()


def test_missed_results_can_be_asked_for(line: Line) -> None:
    """Results since an id come back as they were, in order, in pages."""
    for seq in range(5):
        line.desk.post(Closed(line.open(seq), fault(Reason.LOST)))
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
    line.desk.post(Closed(line.open(0), fault(Reason.LOST)))
    line.result()
    page = line.ask("recovery", ResultsSinceRequest("q", "former", result_id=9)).page
    assert page is not None
    assert (page.boot_id, len(page.results), page.complete) == ("boot", 1, False)


def test_announced_part_without_a_frame_is_lost_at_its_deadline(line: Line) -> None:
    """Its reason says that nothing came, not that the computation was slow."""
    now_ns = line.clock.realtime_ns()
    due_ns = line.clock.monotonic_ns() + 30 * NS_PER_MS
    waiting = Trigger(TriggerKey("cam", 1), "p1", "bagel", "", now_ns, None, due_ns, simulated=True)
    line.desk.post(Opened(waiting))
    result = line.result()
    assert (result.verdict, result.reason, result.received_ns) == (Verdict.FAULT, Reason.LOST, None)
    assert result.done_ns - now_ns >= 30 * NS_PER_MS
    line.desk.post(Arrived(replace(waiting, received_ns=now_ns)))
    line.desk.post(Closed(waiting.key, PASS))
    line.settle()
    assert line.account.counts.noticed == {"frame_after_verdict": 1, "decision_after_verdict": 1}


def test_frame_of_an_announced_part_is_that_part(line: Line) -> None:
    """One trigger, one verdict, with what the frame said and the earlier of the two deadlines."""
    now_ns, due_ns = line.clock.realtime_ns(), line.clock.monotonic_ns() + 10**13
    waiting = Trigger(TriggerKey("cam", 1), "p1", "bagel", "", now_ns, None, due_ns, simulated=True)
    line.desk.post(Opened(waiting))
    line.desk.post(Arrived(replace(waiting, received_ns=now_ns, calib_id="c")))
    line.desk.post(Closed(waiting.key, PASS))
    result = line.result()
    assert (result.verdict, result.calib_id, result.received_ns) == (Verdict.PASS, "c", now_ns)
    line.desk.post(Opened(replace(waiting, key=TriggerKey("cam", 2))))
    sooner = replace(waiting, key=TriggerKey("cam", 2), received_ns=now_ns, deadline_ns=due_ns - 10**13)
    line.desk.post(Arrived(sooner))
    assert line.result().reason is Reason.DEADLINE
    assert line.account.counts.triggers == 2


def test_line_counts_its_triggers_on_the_control_socket(line: Line) -> None:
    """The reply says whether the count was believed."""
    message = TriggerMessage("cam", 3, "p3", 1, 100.0, "bagel")
    assert line.ask("control", AnnounceRequest("1", message)).ok
    refused = line.ask("control", AnnounceRequest("2", replace(message, seq=9)))
    assert (refused.ok, refused.error) == (False, "too far")


def test_control_answers_status_and_recipes(line: Line) -> None:
    """Status tells the counts; a recipe that is not there is refused in words."""
    line.desk.post(Closed(line.open(0), PASS))
    line.result()
    state = line.ask("control", StatusRequest("1")).state
    assert state is not None
    assert state.counts == {"triggers": 1, "pass": 1, "fail": 0, "undecided": 0, "fault": 0}
    assert line.ask("control", LoadRecipeRequest("2", "bagel")).ok
    refused = line.ask("control", LoadRecipeRequest("3", "cookie"))
    assert not refused.ok
    assert "cookie" in refused.error


def test_lost_camera_is_reported_at_once(line: Line) -> None:
    """A camera that goes away is in the next state message."""
    line.desk.post(SourceChanged("tcp://camera:1", alive=True))
    line.desk.post(SourceChanged("tcp://camera:1", alive=False))
    started = time.monotonic()
    while time.monotonic() - started < 10:
        if line.ask("control", StatusRequest("1")).state.sources[0].last_seen_ns:  # type: ignore[union-attr]
            break
    state = line.ask("control", StatusRequest("1")).state
    assert state is not None
    assert not state.sources[0].alive


def test_what_is_open_at_the_end_gets_its_fault(tmp_path: Path) -> None:
    """Stopping leaves no trigger without a verdict."""
    with running(tmp_path) as line:
        line.open(1)
        line.desk.stop(timeout_s=10)
        result = line.result()
        assert (result.verdict, result.reason) == (Verdict.FAULT, Reason.DRAINING)
        assert line.account.holds
        assert line.account.open_count == 0


def test_verdict_is_noted_before_it_is_out(line: Line) -> None:
    """Whoever has received a verdict can rely on it: a worker after kill -9 knows of it."""
    line.desk.post(Closed(line.open(1), fault(Reason.WORKER_ERROR)))
    result = line.result()
    assert line.noted == [(result.result_id, Verdict.FAULT, "")]


def test_decision_that_the_wire_forbids_is_a_fault(line: Line) -> None:
    """A bug that makes a decision unsendable costs that part a FAULT; the parts after it get their verdicts."""
    line.desk.post(Closed(line.open(1), replace(PASS, score=float("inf"))))
    line.desk.post(Closed(line.open(2), PASS))
    first, second = line.result(), line.result()
    assert (first.result_id, first.verdict, first.reason) == (1, Verdict.FAULT, Reason.WORKER_ERROR)
    assert (second.result_id, second.verdict) == (2, Verdict.PASS)


def test_map_that_the_wire_forbids_costs_no_verdict(line: Line) -> None:
    """Maps of a wrong shape are counted and not sent; verdicts go on."""
    plane = np.zeros((3, 3), np.float32)
    maps = PartMaps(plane, plane, plane, np.zeros((3, 3, 3), np.uint8), plane, plane > 0)
    line.desk.post(Closed(line.open(1), replace(PASS, maps=maps)))
    line.desk.post(Closed(line.open(2), PASS))
    assert [line.result().verdict for _ in range(2)] == [Verdict.PASS] * 2
    line.ask("control", StatusRequest("1"))  # answered after the maps
    assert line.account.counts.noticed["map_not_sendable"] == 1


def test_deadlines_are_kept_on_time_by_an_idle_desk(line: Line) -> None:
    """Parts that nobody decides have their FAULT when their deadlines pass, not at the desk's next look, nor sooner."""
    for seq in range(40):
        line.open(seq, deadline_ms=100 + 7.3 * seq)
    assert {line.result().reason for _ in range(40)} == {Reason.DEADLINE}
    line.settle()
    late_ns = sorted(line.late_ns[:40])
    assert late_ns[0] >= 0
    # The median: a busy machine wakes the desk late now and then.
    assert late_ns[20] < MAX_POLL_MS * NS_PER_MS / 2


class SlowMaps(Publisher):
    """A publisher that takes 40 ms for a map."""

    def maps(self, result: Result, maps: PartMaps) -> None:
        time.sleep(0.04)
        super().maps(result, maps)


def test_maps_hold_no_verdict_up(tmp_path: Path) -> None:
    """While a heap of maps is sent that takes a second, deadlines are kept and decisions go out between two maps."""
    with running(tmp_path, SlowMaps) as line:
        for seq in range(25):
            line.desk.post(Closed(line.open(seq), replace(PASS, maps=maps())))
        due = [line.open(100 + seq, deadline_ms=100 + 50 * seq) for seq in range(12)]
        results = [line.result() for _ in range(25 + len(due))]
        assert [result.seq for result in results if result.reason is Reason.DEADLINE] == [k.seq for k in due]
        line.desk.post(Closed(line.open(200), PASS))
        assert line.result().seq == 200
        assert max(line.late_ns) < 200 * NS_PER_MS


def test_maps_that_nobody_has_time_for_are_dropped_and_counted(line: Line) -> None:
    """The oldest go first, and no verdict with them."""
    line.open(0, deadline_ms=10_000)
    shown = replace(PASS, maps=maps())
    line.gate.clear()
    asking = threading.Thread(target=line.ask, args=("control", LoadRecipeRequest("1", "bagel")))
    asking.start()
    assert line.held.wait(10)
    for seq in range(1, 41):
        line.desk.post(Closed(line.open(seq), shown))
    line.gate.set()
    asking.join(10)
    assert [line.result().seq for _ in range(40)] == list(range(1, 41))
    assert decode_maps(line.maps.recv_multipart()).seq == 9
    assert line.account.counts.noticed["map_dropped"] == 8
