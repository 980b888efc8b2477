"""Requests to a worker: state, announced triggers, recipes, records, its end, results again (WIRE.md, control)."""

import time
import uuid
from types import TracebackType
from typing import Final

import zmq

from cmfm_client.curve import ClientKeys
from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_client.sockets import ZmqContext, ZmqSocket, connect, notice_dead_peer
from cmfm_protocol.wire.control import (
    AnnounceRequest,
    DrainRequest,
    LoadRecipeRequest,
    Reply,
    Request,
    ResultsPage,
    ResultsSinceRequest,
    StatusRequest,
    decode_reply,
    encode_request,
)
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import MAX_REPLY_BYTES, MAX_RESULTS_PER_REPLY
from cmfm_protocol.wire.record_requests import AuditRequest, CollectRequest
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.trigger import TriggerMessage

REPLY_TIMEOUT_S: Final = 1.0
"""A worker replies between two verdicts."""

DISK_TIMEOUT_S: Final = 10.0
"""A request that is answered when something is on the disk."""

PATIENCE_S: Final = 0.25
"""Wait for a connection before it is made anew. It doubles up to `PATIENCE_MAX_S` while none comes."""

PATIENCE_MAX_S: Final = 2.0

LOAD_TIMEOUT_S: Final = 60.0
"""A recipe is loaded and warmed up before the worker replies."""


class RequestClient:
    """Sends requests to a worker's control or recovery socket and waits for each reply.

    `results_since` goes to the recovery socket, all others to the control socket.
    A request that got no reply leaves the client usable. Requests to a worker that is not there yet wait for it, up to
    their timeout; after that they are not sent any more.

    Use it from one thread at a time, as a context, or call `close`. `timeout_s` is the default of each request.
    `context` may be shared with other clients of the process; it is not ended then. Raises EndpointError.
    """

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:5559",
        *,
        keys: ClientKeys | None = None,
        timeout_s: float = REPLY_TIMEOUT_S,
        context: ZmqContext | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._timeout_s = timeout_s
        self._patience_s = PATIENCE_S
        self._own_context = context is None
        self._context: ZmqContext = zmq.Context() if context is None else context
        try:
            self._socket = self._connected()
        except BaseException:
            self._end_context()
            raise

    def __enter__(self) -> "RequestClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def status(self, *, timeout_s: float | None = None) -> WorkerState:
        """Ask for the worker's state. Raises NoReplyError, RefusedError."""
        state = self.ask(StatusRequest(_new_id()), timeout_s=timeout_s).state
        if state is None:
            raise RefusedError(f"the worker at {self._endpoint} replied without its state")
        return state

    def announce(self, trigger: TriggerMessage, *, camera: str = "", timeout_s: float | None = None) -> None:
        """Tell the worker that the line has fired up to this trigger; returns when each owes a verdict.

        `camera` is the camera's name in `line.toml`, for a caller that does not know its stream. Announcing
        a number again changes nothing. Raises NoReplyError, RefusedError.
        """
        self.ask(AnnounceRequest(_new_id(), trigger, camera), timeout_s=timeout_s)

    def load_recipe(self, name: str, *, timeout_s: float = LOAD_TIMEOUT_S) -> None:
        """Load or reload a recipe from the worker's own folder; returns when it is in use.

        Raises NoReplyError, RefusedError.
        """
        self.ask(LoadRecipeRequest(_new_id(), name), timeout_s=timeout_s)

    def collect(
        self,
        product: str,
        wanted: int,
        *,
        every: int = 1,
        frames_of: str = "",
        timeout_s: float = DISK_TIMEOUT_S,
    ) -> None:
        """Have the worker keep the next `wanted` parts for a product, one of `every`; 0 stops it.

        `frames_of` limits it to parts whose frame names this recipe. Returns when the folder can be written; follow
        `collecting` in the worker's state. Raises NoReplyError, RefusedError.
        """
        request = CollectRequest(_new_id(), product, wanted, every, frames_of)
        self.ask(request, timeout_s=timeout_s)

    def audit(self, entry: AuditRequest, *, timeout_s: float = DISK_TIMEOUT_S) -> None:
        """Have the worker write a row of its audit table; returns when the row is on the disk.

        Sending an entry again, with the same `entry_id`, changes nothing. Raises NoReplyError, RefusedError.
        """
        self.ask(entry, timeout_s=timeout_s)

    def drain(self, *, timeout_s: float | None = None) -> None:
        """Tell the worker to accept no further frame, answer every accepted one, and end.

        Returns at once; follow the worker's state. Raises NoReplyError, RefusedError.
        """
        self.ask(DrainRequest(_new_id()), timeout_s=timeout_s)

    def results_since(
        self,
        boot_id: str,
        result_id: int,
        *,
        limit: int = MAX_RESULTS_PER_REPLY,
        timeout_s: float | None = None,
    ) -> ResultsPage:
        """Ask for results with ids above `result_id` of a boot, oldest first, at most `limit` (1 to 500).

        The page may be of another boot: the worker was restarted. Raises NoReplyError, RefusedError.
        """
        page = self.ask(ResultsSinceRequest(_new_id(), boot_id, result_id, limit), timeout_s=timeout_s).page
        if page is None:
            raise RefusedError(f"the worker at {self._endpoint} replied without results")
        return page

    def ask(self, request: Request, *, timeout_s: float | None = None) -> Reply:
        """Send a request and wait for its reply. Raises NoReplyError, RefusedError, LocalProtocolError."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        reply = self._exchange(request, time.monotonic() + timeout_s)
        if reply is None:
            raise NoReplyError(f"the worker at {self._endpoint} did not reply within {timeout_s:g} s")
        if not reply.ok:
            raise RefusedError(reply.error)
        return reply

    def close(self) -> None:
        """Close the socket; what was sent and not delivered is dropped."""
        self._socket.close(0)
        self._end_context()

    def _exchange(self, request: Request, until_s: float) -> Reply | None:
        """The reply; None after `until_s`. Replies to earlier requests are skipped."""
        message = [b"", encode_request(request)]
        if not self._wait_for_connection(until_s):
            return None
        try:
            self._socket.send_multipart(message, zmq.NOBLOCK)
        except zmq.Again:  # the worker went away just now
            return None
        while self._wait(zmq.POLLIN, until_s):
            try:
                reply = decode_reply(self._socket.recv_multipart()[-1])
            except RemoteProtocolError:
                continue  # not a reply of this protocol
            if reply.id == request.id:
                return reply
        self._renew()  # damaged framing may have libzmq wait for bytes that later replies would have to bring
        return None

    def _wait_for_connection(self, until_s: float) -> bool:
        """Return whether there is a connection before `until_s`. Makes it anew: libzmq may have given it up."""
        while not self._wait(zmq.POLLOUT, min(until_s, time.monotonic() + self._patience_s)):
            if time.monotonic() >= until_s:
                return False
            self._renew()
            self._patience_s = min(2 * self._patience_s, PATIENCE_MAX_S)
        self._patience_s = PATIENCE_S
        return True

    def _renew(self) -> None:
        """Replace the socket; a late reply to an earlier request, which would be skipped, is dropped with it."""
        self._socket.close(0)
        self._socket = self._connected()

    def _connected(self) -> ZmqSocket:
        """A socket that connects in the background. Raises EndpointError."""
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_REPLY_BYTES)
        notice_dead_peer(socket)
        if self._keys is not None:
            self._keys.apply_to(socket)
        connect(socket, self._endpoint, "request endpoint")
        return socket

    def _wait(self, event: int, until_s: float) -> bool:
        left_s = until_s - time.monotonic()
        return left_s > 0 and bool(self._socket.poll(max(int(left_s * 1000), 1), event))

    def _end_context(self) -> None:
        if self._own_context:
            self._context.destroy(0)


def _new_id() -> str:
    return uuid.uuid4().hex
