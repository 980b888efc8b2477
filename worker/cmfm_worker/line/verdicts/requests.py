"""The request sockets: recovery (results_since), and control with all other requests.

Both are ROUTER sockets that the verdict thread serves. An invalid request gets a reply that says what is wrong with it.
A request that another thread carries out (loading a recipe, announcing a trigger) gets its reply when that is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
import zmq

from cmfm_protocol.wire.control import (
    AnnounceRequest,
    DrainRequest,
    LoadRecipeRequest,
    Reply,
    Request,
    ResultsSinceRequest,
    StatusRequest,
    decode_request,
    encode_reply,
    encode_results_reply,
    read_id,
)
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.record_requests import AuditRequest, CollectRequest
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.net.curve import CurveServer
from cmfm_worker.line.net.sockets import Context, Socket, bind
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.verdicts.recent_results import RecentResults

REPLY_HWM: Final = 100
"""Replies queued for one client. A client that does not read them loses the rest."""

MAX_ENVELOPE_FRAMES: Final = 8
"""Message frames before the request: the client's identity, REQ's delimiter, and those that proxies add."""

LoadRecipe = Callable[[str, Callable[[str | None], None]], None]
"""Loads a recipe by name in another thread, then calls back with the error, or None."""

Announce = Callable[[TriggerMessage, str, Callable[[str | None], None]], None]
"""Enters an announced trigger in another thread, then calls back with the error, or None.

The text is the name of the camera, "" if the trigger names its stream.
"""

Collect = Callable[[CollectRequest, Callable[[str | None], None]], None]
Audit = Callable[[AuditRequest, Callable[[str | None], None]], None]
"""Have a thread that writes to disk carry out a request; it calls back with the error, or None."""


@dataclass(frozen=True, slots=True)
class ControlActions:
    """Carries out the requests on the control socket. None of them may block."""

    worker_state: Callable[[], WorkerState]
    announce: Announce
    load_recipe: LoadRecipe
    collect: Collect
    audit: Audit
    drain: Callable[[], None]


class Router:
    """A ROUTER socket. A request is one map, with or without REQ's empty delimiter in front of it.

    Raises StartupError if the endpoint cannot be bound.
    """

    def __init__(self, context: Context, endpoint: str, curve: CurveServer | None = None) -> None:
        self.socket: Socket = bind(context, zmq.ROUTER, endpoint, send_hwm=REPLY_HWM, curve=curve)
        self._log = structlog.get_logger("requests")

    def serve(self) -> None:
        """Answer one request, if one is waiting. Only one, so that a flood of requests delays no verdict."""
        try:
            *envelope, body = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        try:
            if len(envelope) > MAX_ENVELOPE_FRAMES:
                del envelope[1:]  # a reply repeats the envelope, so its size must not be the sender's choice
                raise RemoteProtocolError(Reason.MALFORMED, "a request is one message frame")  # noqa: TRY301
            request = decode_request(body)
        except RemoteProtocolError as error:
            self._log.warning("bad_request", detail=str(error))
            self.send(envelope, encode_reply(Reply(read_id(body), ok=False, error=str(error))))
        else:
            self.answer(envelope, request)

    def answer(self, envelope: list[bytes], request: Request) -> None:
        """Answer one valid request; subclasses override this."""
        raise NotImplementedError

    def send(self, envelope: list[bytes], reply: bytes) -> None:
        """Send a reply. It is lost if the client is gone or does not read."""
        try:
            self.socket.send_multipart([*envelope, reply], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            self._log.info("reply_not_sent", error=str(error))

    def close(self) -> None:
        """Close the socket; queued replies are still delivered within the linger time."""
        self.socket.close()

    def refuse(self, envelope: list[bytes], request: Request) -> None:
        """Refuse an operation that belongs to the other socket."""
        self.send(
            envelope, encode_reply(Reply(request.id, ok=False, error=f"{request.op} is not served here"))
        )


class RecoveryServer(Router):
    """Serves the results after a result id to subscribers that missed them."""

    def __init__(
        self,
        context: Context,
        endpoint: str,
        history: RecentResults,
        boot_id: str,
        curve: CurveServer | None = None,
    ) -> None:
        super().__init__(context, endpoint, curve)
        self._history = history
        self._boot_id = boot_id

    def answer(self, envelope: list[bytes], request: Request) -> None:
        """Send a page of results. Ids of another boot mean nothing here: the page then starts with the oldest."""
        if not isinstance(request, ResultsSinceRequest):
            self.refuse(envelope, request)
            return
        history, same_boot = self._history, request.boot_id == self._boot_id
        since = request.result_id if same_boot else 0
        payloads = history.since(since, request.limit)
        first_id = max(since + 1, history.oldest_id)
        nothing_gone = first_id == since + 1 and (same_boot or not request.boot_id)
        nothing_left = since + len(payloads) >= history.newest_id
        reply = encode_results_reply(
            request.id,
            boot_id=self._boot_id,
            oldest_id=history.oldest_id,
            newest_id=history.newest_id,
            payloads=payloads,
            complete=nothing_gone and nothing_left,
        )
        self.send(envelope, reply)


class ControlServer(Router):
    """Serves status, announce, load_recipe, collect, audit and drain."""

    def __init__(
        self, context: Context, endpoint: str, actions: ControlActions, curve: CurveServer | None = None
    ) -> None:
        super().__init__(context, endpoint, curve)
        self._actions = actions
        self._done: WakeableQueue[tuple[list[bytes], str, str | None]] = WakeableQueue()

    def fileno(self) -> int:
        """Return a file descriptor that is readable while a reply is due for work that another thread has done."""
        return self._done.fileno()

    def answer(self, envelope: list[bytes], request: Request) -> None:
        """Carry out a request, or hand it to the thread that does."""
        actions = self._actions

        def done(error: str | None) -> None:
            self._done.post((envelope, request.id, error))

        match request:
            case StatusRequest():
                self.send(envelope, encode_reply(Reply(request.id, ok=True, state=actions.worker_state())))
            case DrainRequest():
                self._log.info("drain_requested")
                actions.drain()
                self.send(envelope, encode_reply(Reply(request.id, ok=True)))
            case LoadRecipeRequest():
                self._log.info("recipe_requested", recipe=request.recipe)
                actions.load_recipe(request.recipe, done)
            case AnnounceRequest():
                actions.announce(request.trigger, request.camera, done)
            case CollectRequest():
                actions.collect(request, done)
            case AuditRequest():
                actions.audit(request, done)
            case _:
                self.refuse(envelope, request)

    def close(self) -> None:
        """Send the replies that are due, then close."""
        self.serve_done()
        self._done.close()
        super().close()

    def serve_done(self) -> None:
        """Send the replies for work that other threads have done."""
        for envelope, request_id, error in self._done.collect():
            self.send(envelope, encode_reply(Reply(request_id, ok=error is None, error=error or "")))
