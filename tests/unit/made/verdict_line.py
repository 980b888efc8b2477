"""A running verdict thread with subscribers, and the settings, book and sockets that it needs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq
from tests.unit.made.verdicts import trigger

from cmfm_protocol.clock import NS_PER_MS, SystemClock
from cmfm_protocol.wire.control import (
    LoadRecipeRequest,
    Reply,
    Request,
    decode_reply,
    encode_request,
)
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.messages import BookEvent, Opened, TriggerKey
from cmfm_worker.line.net.builder import Net
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.records.recorder import Evidence
from cmfm_worker.line.verdicts.builder import new_book, open_verdict_thread
from cmfm_worker.line.verdicts.outputs import Outputs
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.requests import ControlActions
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
            cameras={"tcp://camera:1": "camera1"},
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
                announce=lambda message, camera, done: done(None if message.seq < 9 else "too far"),
                load_recipe=self.load_recipe,
                collect=lambda request, done: done(None if request.product == "bagel" else "full"),
                audit=lambda request, done: done(None if request.who == "ann" else "full"),
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
