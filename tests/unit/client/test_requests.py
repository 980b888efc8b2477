"""Requests on real sockets, against a small peer that replies as it is told to."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq
from tests.unit.made.line_messages import worker_state

from cmfm_client.errors import EndpointError, NoReplyError, RefusedError
from cmfm_client.requests import RequestClient
from cmfm_protocol.wire.control import (
    AnnounceRequest,
    DrainRequest,
    LoadRecipeRequest,
    Reply,
    Request,
    ResultsPage,
    ResultsSinceRequest,
    StatusRequest,
    decode_request,
    encode_reply,
)
from cmfm_protocol.wire.record_requests import AuditRequest, CollectRequest
from cmfm_protocol.wire.trigger import TriggerMessage

Answer = Callable[[Request], list[Reply]]


class Peer:
    """A ROUTER that keeps the requests it hears and sends the replies that `answer` gives."""

    def __init__(self, endpoint: str = "tcp://127.0.0.1:*", secret: bytes | None = None) -> None:
        self.heard: list[Request] = []
        self.answer: Answer = lambda request: [Reply(request.id, ok=True)]
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        if secret is not None:
            self._socket.setsockopt(zmq.CURVE_SERVER, 1)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        self._bind(endpoint)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _bind(self, endpoint: str) -> None:
        for attempt in range(100):
            try:
                self._socket.bind(endpoint)
            except zmq.ZMQError:  # a service of before is not quite gone
                if attempt == 99:
                    raise
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self._context.term()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(20):
                *envelope, body = self._socket.recv_multipart()
                self.heard.append(decode_request(body))
                for reply in self.answer(self.heard[-1]):
                    self._socket.send_multipart([*envelope, encode_reply(reply)])


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def client(peer: Peer) -> Iterator[RequestClient]:
    with RequestClient(peer.endpoint, timeout_s=5) as made:
        yield made


def test_status_is_the_workers_state(peer: Peer, client: RequestClient) -> None:
    """As it stands in the reply."""
    state = worker_state({})
    peer.answer = lambda request: [Reply(request.id, ok=True, state=state)]
    assert client.status() == state
    assert isinstance(peer.heard[0], StatusRequest)


def test_each_request_says_what_is_asked(peer: Peer, client: RequestClient) -> None:
    """Recipe, trigger and end; each returns when the worker has replied."""
    trigger = TriggerMessage("stream", 7, "part", 1, 200.0, "bagel")
    client.load_recipe("bagel")
    client.announce(trigger)
    client.drain()
    load, announce, drain = peer.heard
    assert isinstance(load, LoadRecipeRequest)
    assert load.recipe == "bagel"
    assert isinstance(announce, AnnounceRequest)
    assert announce.trigger == trigger
    assert isinstance(drain, DrainRequest)
    assert len({request.id for request in peer.heard}) == 3


def test_records_are_asked_for(peer: Peer, client: RequestClient) -> None:
    """Parts to collect with their conditions, and an audit entry as it was made: its id lets it be sent again."""
    client.collect("cap", 30, every=5, frames_of="bagel")
    entry = AuditRequest("7", "e1", 1, "ann", "recipe.use", "cap")
    client.audit(entry)
    collect, audit = peer.heard
    assert isinstance(collect, CollectRequest)
    asked = (collect.product, collect.wanted, collect.every, collect.frames_of)
    assert asked == ("cap", 30, 5, "bagel")
    assert audit == entry


def test_results_come_as_a_page(peer: Peer, client: RequestClient) -> None:
    """From the boot and id that were asked from."""
    page = ResultsPage("boot", 1, 0, (), complete=True)
    peer.answer = lambda request: [Reply(request.id, ok=True, page=page)]
    assert client.results_since("boot", 7, limit=3) == page
    (asked,) = peer.heard
    assert isinstance(asked, ResultsSinceRequest)
    assert (asked.boot_id, asked.result_id, asked.limit) == ("boot", 7, 3)


def test_refusal_says_why(peer: Peer, client: RequestClient) -> None:
    """In the worker's words."""
    peer.answer = lambda request: [Reply(request.id, ok=False, error="no recipe 'x'")]
    with pytest.raises(RefusedError, match="no recipe 'x'"):
        client.load_recipe("x")


def test_request_without_a_reply_leaves_the_client_usable(peer: Peer, client: RequestClient) -> None:
    """The endpoint is named; a reply that comes late is not taken for that of the next request."""
    peer.answer = lambda request: []
    with pytest.raises(NoReplyError, match=peer.endpoint):
        client.status(timeout_s=0.1)
    late = peer.heard[0].id
    state = worker_state({}, phase="draining")
    peer.answer = lambda request: [
        Reply(late, ok=True, state=worker_state({})),
        Reply(request.id, ok=True, state=state),
    ]
    assert client.status() == state


def test_request_that_timed_out_is_not_done_later(endpoint: str) -> None:
    """A worker that starts after a drain was given up does not drain."""
    with RequestClient(endpoint) as client:
        with pytest.raises(NoReplyError):
            client.drain(timeout_s=0.1)
        peer = Peer(endpoint)
        try:
            client.announce(TriggerMessage("stream", 0, "", 1, 1.0, ""), timeout_s=10)
            assert [request.op for request in peer.heard] == ["announce"]
        finally:
            peer.close()


def test_invalid_endpoint_is_named() -> None:
    """Before anything is sent."""
    with pytest.raises(EndpointError, match="'nowhere' is not an endpoint"):
        RequestClient("nowhere")
