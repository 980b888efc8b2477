"""Asking a worker again for results that a subscriber missed (WIRE.md, control and recovery)."""

import time
import uuid
from typing import Final

import zmq

from cmfm_protocol.wire.control import (
    Reply,
    Request,
    ResultsPage,
    ResultsSinceRequest,
    decode_reply,
    encode_request,
)
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import MAX_REPLY_BYTES, MAX_RESULTS_PER_REPLY
from cmfm_protocol.wire.result import Result
from cmfm_sim.curve import ClientKeys
from cmfm_sim.result_order import Missing
from cmfm_sim.sockets import ZmqContext, connect, keep_alive

REPLY_TIMEOUT_S: Final = 1.0
"""A worker answers between two verdicts."""


class RequestClient:
    """A DEALER that speaks as a REQ does, but is not stuck when no answer comes. One thread.

    Raises InputError for an endpoint that is none.
    """

    def __init__(
        self, context: ZmqContext, endpoint: str, option: str, keys: ClientKeys | None = None
    ) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REPLY_BYTES)
        keep_alive(self._socket)
        if keys is not None:
            keys.put_on(self._socket)
        connect(self._socket, endpoint, option)

    def ask(self, request: Request, timeout_s: float = REPLY_TIMEOUT_S) -> Reply | None:
        """The reply to `request`; None where none came in time. Replies to earlier requests are passed over."""
        until_s = time.monotonic() + timeout_s
        try:
            self._socket.send_multipart([b"", encode_request(request)], zmq.NOBLOCK)
        except zmq.Again:
            return None
        while (left_s := until_s - time.monotonic()) > 0:
            if not self._socket.poll(max(int(left_s * 1000), 1)):
                return None
            try:
                reply = decode_reply(self._socket.recv_multipart()[-1])
            except RemoteProtocolError:
                continue  # no reply that we could have asked for
            if reply.id == request.id:
                return reply
        return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(0)


def results_between(client: RequestClient, missing: Missing) -> list[Result]:
    """The missing results as far as the worker still has them, oldest first."""
    results: list[Result] = []
    after = missing.first_id - 1
    while after < missing.last_id:
        page = _page(client, missing.boot_id, after)
        if page is None or page.boot_id != missing.boot_id or not page.results:
            break
        results += [result for result in page.results if result.result_id <= missing.last_id]
        after = page.results[-1].result_id
    return results


def newest_id(client: RequestClient, boot_id: str, after: int) -> int | None:
    """The newest result id of a boot; None where the worker does not answer or is another boot by now."""
    page = _page(client, boot_id, after, limit=1)
    return None if page is None or page.boot_id != boot_id else page.newest_id


def _page(
    client: RequestClient, boot_id: str, after: int, limit: int = MAX_RESULTS_PER_REPLY
) -> ResultsPage | None:
    reply = client.ask(ResultsSinceRequest(uuid.uuid4().hex, boot_id, after, limit))
    return reply.page if reply is not None else None
