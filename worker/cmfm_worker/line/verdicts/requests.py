"""The two sockets that answer: control (status, announce, load_recipe, drain) and recovery (results since).

Both are ROUTERs served by the desk's thread. A request that is not the wire gets a reply that says so. What another
thread has to do (load a recipe, take note of a trigger) is answered when it is done.
"""

from collections.abc import Callable
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
)
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.net.curve import CurveServer
from cmfm_worker.line.net.sockets import Context, Socket, bind
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.verdicts.recent_results import RecentResults
from cmfm_worker.line.verdicts.worker_state import StateMessage

REPLY_HWM: Final = 100
"""Replies queued for one client; a client that does not read them loses the rest."""

MAX_ENVELOPE_PARTS: Final = 8
"""The client's identity, REQ's delimiter, and room for those of the proxies between."""

LoadRecipe = Callable[[str, Callable[[str | None], None]], None]
"""Loads a recipe by name in another thread and tells the error, or None."""

Announce = Callable[[TriggerMessage, Callable[[str | None], None]], None]
"""Has another thread take note of the line's count of triggers, which tells the error, or None."""


class Router:
    """A ROUTER socket that takes requests as single maps, with or without REQ's empty delimiter."""

    def __init__(self, context: Context, endpoint: str, curve: CurveServer | None) -> None:
        self.socket: Socket = bind(context, zmq.ROUTER, endpoint, send_hwm=REPLY_HWM, curve=curve)
        self._log = structlog.get_logger("requests")

    def serve(self) -> None:
        """Answer one request, if one is waiting: a flood of them must not hold up verdicts."""
        try:
            *envelope, body = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        try:
            if len(envelope) > MAX_ENVELOPE_PARTS:
                del envelope[1:]  # a reply repeats the envelope, so its size must not be the sender's choice
                raise RemoteProtocolError(Reason.MALFORMED, "a request is one part")  # noqa: TRY301
            request = decode_request(body)
        except RemoteProtocolError as error:
            self._log.warning("bad_request", detail=str(error))
            self.send(envelope, encode_reply(Reply("", ok=False, error=str(error))))
        else:
            self.answer(envelope, request)

    def answer(self, envelope: list[bytes], request: Request) -> None:
        """Answer one request; overridden."""
        raise NotImplementedError

    def send(self, envelope: list[bytes], reply: bytes) -> None:
        """Send a reply; a client that is gone or does not read gets none."""
        try:
            self.socket.send_multipart([*envelope, reply], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            self._log.info("reply_not_sent", error=str(error))

    def close(self) -> None:
        """Close the socket; replies that are queued are still delivered within the linger time."""
        self.socket.close()

    def refuse(self, envelope: list[bytes], request: Request) -> None:
        """Answer an operation that belongs to the other socket."""
        self.send(
            envelope, encode_reply(Reply(request.id, ok=False, error=f"{request.op} is not served here"))
        )


class RecoveryServer(Router):
    """Results since a result id, for subscribers that were away."""

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
        """A page of results; of another boot's ids nothing is known, so it starts with the oldest of this one."""
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
    """Status, announce, load recipe, drain."""

    def __init__(
        self,
        context: Context,
        endpoint: str,
        *,
        state: StateMessage,
        announce: Announce,
        load_recipe: LoadRecipe,
        drain: Callable[[], None],
        curve: CurveServer | None = None,
    ) -> None:
        super().__init__(context, endpoint, curve)
        self._state = state
        self._announce = announce
        self._load_recipe = load_recipe
        self._drain = drain
        self._done: WakeableQueue[tuple[list[bytes], str, str | None]] = WakeableQueue()

    def fileno(self) -> int:
        """File descriptor that is readable when something was done in another thread and its reply is due."""
        return self._done.fileno()

    def answer(self, envelope: list[bytes], request: Request) -> None:
        """Do what is asked, or say why not."""
        if isinstance(request, StatusRequest):
            self.send(envelope, encode_reply(Reply(request.id, ok=True, state=self._state())))
        elif isinstance(request, DrainRequest):
            self._log.info("drain_requested")
            self._drain()
            self.send(envelope, encode_reply(Reply(request.id, ok=True)))
        elif isinstance(request, LoadRecipeRequest):
            self._log.info("recipe_requested", recipe=request.recipe)
            self._load_recipe(request.recipe, lambda error: self._done.post((envelope, request.id, error)))
        elif isinstance(request, AnnounceRequest):
            self._announce(request.trigger, lambda error: self._done.post((envelope, request.id, error)))
        else:
            self.refuse(envelope, request)

    def close(self) -> None:
        """Answer what has come to its end, then close."""
        self.serve_done()
        self._done.close()
        super().close()

    def serve_done(self) -> None:
        """Answer the requests whose work has come to its end."""
        for envelope, request_id, error in self._done.collect():
            self.send(envelope, encode_reply(Reply(request_id, ok=error is None, error=error or "")))
