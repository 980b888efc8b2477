"""A worker's sockets without a worker: publishes what a test says, answers requests, and records them."""

import threading
from dataclasses import replace
from typing import Any

import zmq
from tests.unit.made.line_messages import result, worker_state

from cmfm_protocol.wire.control import (
    Reply,
    Request,
    ResultsSinceRequest,
    StatusRequest,
    decode_request,
    encode_reply,
    encode_results_reply,
)
from cmfm_protocol.wire.result import Result, encode_result
from cmfm_protocol.wire.state import SourceState, WorkerPhase, WorkerState, encode_worker_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.verdict import Verdict

RESULT_TOPIC = topic("line1", "station1", "result")
STATE_TOPIC = topic("line1", "station1", "state")


class PublishingLine:
    """Endpoints of a worker: `results`, `recovery`, `control`. `refuse` is the error that control replies with.

    Use it as a context. `publish` and `heartbeat` may be called from any thread, one at a time.
    """

    def __init__(self) -> None:
        self.boot_id = "boot1"
        self.phase: WorkerPhase = "ready"
        self.recipes: tuple[str, ...] = ("bagel", "praline")
        self.streams: dict[str, str] = {}  # camera → its present stream
        self.refuse = ""
        self.mute = False  # recovery does not reply
        self.requests: list[Request] = []
        self._sent: list[Result] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._pub, self._recovery, self._control = (
            self._context.socket(kind) for kind in (zmq.XPUB, zmq.ROUTER, zmq.ROUTER)
        )
        for socket in (self._pub, self._recovery, self._control):
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind("tcp://127.0.0.1:*")
        self._pub.setsockopt(zmq.XPUB_VERBOSE, 1)  # each subscriber is reported
        self.results, self.recovery, self.control = (
            socket.getsockopt_string(zmq.LAST_ENDPOINT)
            for socket in (self._pub, self._recovery, self._control)
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> "PublishingLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._context.destroy(0)

    @property
    def worker_section(self) -> dict[str, Any]:
        """The section [worker] of a gateway that reads this line."""
        return {"results": self.results, "recovery": self.recovery, "control": self.control}

    def wait_for_subscriber(self) -> None:
        """Wait until a gateway has subscribed."""
        while self._pub.poll(10_000):
            if self._pub.recv()[:1] == b"\x01":  # 0: a former one has gone
                return
        raise AssertionError("nobody subscribed")

    def publish(self, verdict: Verdict = Verdict.PASS, *, lost: bool = False, **changes: Any) -> Result:
        """Publish the next result of this boot; a lost one can only be asked for."""
        number = len(self._sent)
        fields: dict[str, Any] = {
            "boot_id": self.boot_id,
            "stream_uuid": f"stream of {self.boot_id}",
            "part_id": f"part-{number + 1:06d}",
        }
        made = replace(result(number, verdict), **(fields | changes))
        self._sent.append(made)
        if not lost:
            self._pub.send_multipart(encode_result(RESULT_TOPIC, made))
        return made

    def heartbeat(self) -> None:
        """Publish the worker's state."""
        self._pub.send_multipart(encode_worker_state(STATE_TOPIC, self.state()))

    def state(self) -> WorkerState:
        """Return the worker's state: as many parts as were published."""
        counts = {Verdict.PASS: len(self._sent)}
        state = worker_state(counts, phase=self.phase, boot_id=self.boot_id)
        sources = tuple(
            SourceState("tcp://camera", stream, True, 1, name=name) for name, stream in self.streams.items()
        )
        return replace(state, recipes=self.recipes, sources=sources)

    def restart(self, boot_id: str) -> None:
        """Go on as a worker that was killed and started again."""
        self.boot_id, self._sent = boot_id, []

    def _serve(self) -> None:
        while not self._stop.is_set():
            for socket in (self._recovery, self._control):
                if socket.poll(5):
                    *envelope, body = socket.recv_multipart()
                    if reply := self._reply(decode_request(body)):
                        socket.send_multipart([*envelope, reply])

    def _reply(self, request: Request) -> bytes | None:
        self.requests.append(request)
        match request:
            case ResultsSinceRequest():
                return None if self.mute else self._page(request)
            case StatusRequest():
                return encode_reply(Reply(request.id, ok=True, state=self.state()))
            case _:
                return encode_reply(Reply(request.id, ok=not self.refuse, error=self.refuse))

    def _page(self, request: ResultsSinceRequest) -> bytes:
        after = request.result_id if request.boot_id == self.boot_id else 0
        page = [each for each in self._sent if each.result_id > after][: request.limit]
        return encode_results_reply(
            request.id,
            boot_id=self.boot_id,
            oldest_id=1,
            newest_id=len(self._sent),
            payloads=[encode_result(RESULT_TOPIC, each)[1] for each in page],
            complete=True,
        )
