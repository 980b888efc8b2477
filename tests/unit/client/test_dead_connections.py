"""Connections that libzmq has given up, or that swallow what comes: the client makes them anew and misses nothing."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq
from tests.unit.client.test_requests import Peer
from tests.unit.client.test_subscriber import PublishingWorker, collect, ids, lost
from tests.unit.made.line_messages import result, worker_state
from tests.unit.made.rough_tcp import Damage, DamagingProxy, ForeignService, at

from cmfm_client.curve import ClientKeys
from cmfm_client.errors import NoReplyError
from cmfm_client.events import Event, LinkChanged, Received, Silence
from cmfm_client.requests import RequestClient
from cmfm_client.subscriber import ResultSubscriber, SubscriberOptions
from cmfm_protocol.files.key_files import KeyPair
from cmfm_protocol.wire.control import Reply
from cmfm_protocol.wire.limits import MAX_STATE_BYTES
from cmfm_protocol.wire.result import encode_result
from cmfm_protocol.wire.topics import topic

RESULT_TOPIC = topic("line1", "station1", "result")
LIMIT_S = 15.0
HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"


def heard(
    subscriber: ResultSubscriber, enough: Callable[[list[Event]], bool], act: Callable[[], None]
) -> list[Event]:
    """The events until there are enough, while the worker does something every 50 ms."""
    events: list[Event] = []
    until_s = time.monotonic() + LIMIT_S
    while not enough(events):
        assert time.monotonic() < until_s, events
        act()
        events += subscriber.poll(0.05)
    return events


def links(events: list[Event]) -> list[bool]:
    return [event.alive for event in events if isinstance(event, LinkChanged)]


class Results:
    """Publishes the next result with each call."""

    def __init__(self, worker: PublishingWorker) -> None:
        self.next_seq = 0
        self._worker = worker

    def __call__(self) -> None:
        self._worker.publish(self.next_seq)
        self.next_seq += 1


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def worker() -> Iterator[PublishingWorker]:
    made = PublishingWorker()
    yield made
    made.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(at(0, 0x02), id="long flag"),
        pytest.param(at(0, 0x04), id="command flag"),
        pytest.param(at(0, 0x01), id="more flag"),
        pytest.param(at(1, 0x01), id="length of the topic"),
        pytest.param(at(1, 0x40), id="length of the topic, more"),
        pytest.param(at(len(RESULT_TOPIC) + 2 + 1 + 6, 0x02), id="length of the result, 128 kB more"),
    ],
)
def test_subscriber_misses_nothing_after_damaged_framing(worker: PublishingWorker, damage: Damage) -> None:
    """One damaged byte between worker and subscriber: every result comes, live or recovered."""
    proxy = DamagingProxy(int(worker.results.rpartition(":")[2]), b"/result/")
    publish = Results(worker)
    with (
        contextlib.closing(proxy),
        ResultSubscriber(
            SubscriberOptions(proxy.endpoint, recovery=worker.recovery, from_start=True)
        ) as subscriber,
    ):
        heard(subscriber, lambda events: bool(ids(events)), publish)
        proxy.damage_next(damage)
        first = publish.next_seq + 1
        events = heard(subscriber, lambda events: proxy.damaged and live(events, first + 3), publish)
        assert links(events)[-1:] in ([], [True])
        events += collect(subscriber, lambda more: publish.next_seq in ids(events + more))
    assert not lost(events)
    received = ids(events)
    assert received == sorted(set(received))
    assert set(range(first, publish.next_seq + 1)) <= set(received)


def live(events: list[Event], result_id: int) -> bool:
    return any(
        isinstance(event, Received) and event.received_ns and event.result.result_id > result_id
        for event in events
    )


def test_message_above_the_size_limit_costs_the_subscriber_a_reconnect(worker: PublishingWorker) -> None:
    """The loss is reported within a second, and the connection is there again."""
    publish = Results(worker)
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        heard(subscriber, lambda events: bool(ids(events)), publish)
        worker.send(RESULT_TOPIC, bytes(MAX_STATE_BYTES + 1))
        began_s = time.monotonic()
        events = heard(subscriber, lambda events: False in links(events), publish)
        assert time.monotonic() - began_s < 1
        assert "size limit" in subscriber.trouble or not subscriber.trouble
        events += heard(
            subscriber, lambda more: links(events + more) == [False, True] and bool(ids(more)), publish
        )
        assert subscriber.trouble == ""
    assert not lost(events)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("greeting", [HTTP, b""])
def test_another_service_at_the_address_first(free_port: int, greeting: bytes, keeps: bool) -> None:
    """Results and replies come once the worker has the address; meanwhile the connection is never called alive."""
    foreign = ForeignService(free_port, greeting, keeps=keeps)
    endpoint = f"tcp://127.0.0.1:{free_port}"
    with ResultSubscriber(SubscriberOptions(endpoint)) as subscriber, RequestClient(endpoint) as client:
        events = heard(subscriber, lambda _: foreign.visitors > 2, lambda: None)
        assert links(events) == []
        with pytest.raises(NoReplyError):
            client.drain(timeout_s=0.6)
        foreign.close()
        with publishing(free_port):
            events = heard(subscriber, lambda events: bool(ids(events)), lambda: None)
            assert links(events) == [True]
        peer = Peer(endpoint)
        try:
            client.drain(timeout_s=LIMIT_S)
        finally:
            peer.close()


@contextlib.contextmanager
def publishing(port: int, secret: bytes | None = None) -> Iterator[None]:
    """Publish results on a port, with CURVE if there is a key."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    done = threading.Event()

    def run() -> None:
        with context.socket(zmq.PUB) as out:
            secure(out, secret)
            bind(out, port)
            seq = 0
            while not done.wait(0.05):
                out.send_multipart(encode_result(RESULT_TOPIC, result(seq)))
                seq += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        context.destroy(0)


def secure(made: "zmq.Socket[bytes]", secret: bytes | None) -> None:
    made.setsockopt(zmq.LINGER, 0)
    if secret is not None:
        made.setsockopt(zmq.CURVE_SERVER, 1)
        made.setsockopt(zmq.CURVE_SECRETKEY, secret)


def bind(made: "zmq.Socket[bytes]", port: int) -> None:
    until_s = time.monotonic() + LIMIT_S
    while True:
        try:
            made.bind(f"tcp://127.0.0.1:{port}")
        except zmq.ZMQError:  # the one before is not quite gone
            assert time.monotonic() < until_s
            time.sleep(0.05)
        else:
            return


def test_worker_without_keys_at_first_gets_them(free_port: int) -> None:
    """A client with keys hears a worker as soon as it uses them, and says before what is wrong."""
    server, own = KeyPair(*zmq.curve_keypair()), KeyPair(*zmq.curve_keypair())
    keys = ClientKeys(own, server.public)
    with ResultSubscriber(SubscriberOptions(f"tcp://127.0.0.1:{free_port}", keys=keys)) as subscriber:
        with publishing(free_port):
            heard(subscriber, lambda _: "CURVE" in subscriber.trouble, lambda: None)
        with publishing(free_port, server.secret):
            events = heard(subscriber, lambda events: bool(ids(events)), lambda: None)
    assert links(events) == [True]


def test_requests_to_a_worker_that_gets_keys(free_port: int) -> None:
    """A request client that was refused once is not dead for ever."""
    server, own = KeyPair(*zmq.curve_keypair()), KeyPair(*zmq.curve_keypair())
    endpoint = f"tcp://127.0.0.1:{free_port}"
    with RequestClient(endpoint, keys=ClientKeys(own, server.public)) as client:
        plain = Peer(endpoint)
        try:
            with pytest.raises(NoReplyError):
                client.status(timeout_s=0.5)
        finally:
            plain.close()
        secured = Peer(endpoint, secret=server.secret)
        secured.answer = lambda request: [Reply(request.id, ok=True, state=worker_state({}))]
        try:
            assert client.status(timeout_s=LIMIT_S).phase == "ready"
        finally:
            secured.close()


def test_damaged_reply_leaves_the_request_client_usable() -> None:
    """A reply with damaged framing is lost with its request; the next request has its reply."""
    peer = Peer()
    peer.answer = lambda request: [Reply(request.id, ok=True, state=worker_state({}))]
    proxy = DamagingProxy(int(peer.endpoint.rpartition(":")[2]), b"boot_id")
    try:
        with RequestClient(proxy.endpoint) as client:
            client.status()
            for damage in (at(0, 0x04), at(0, 0x02), at(1, 0x01)):
                proxy.damage_next(damage)
                with contextlib.suppress(NoReplyError):
                    client.status(timeout_s=0.5)
                assert proxy.damaged
                assert client.status(timeout_s=5).phase == "ready"
    finally:
        proxy.close()
        peer.close()


def test_garbage_is_no_sign_of_a_worker(worker: PublishingWorker) -> None:
    """Something else publishes at the address: `Silence` is reported although messages come."""
    with ResultSubscriber(SubscriberOptions(worker.results, silence_s=0.3)) as subscriber:
        worker.wait_for_subscriber()

        def garbage() -> None:
            worker.send(RESULT_TOPIC, b"not a result")

        heard(subscriber, lambda events: any(isinstance(event, Silence) for event in events), garbage)


UNREAD = """
import time, zmq
from cmfm_client.watched_connection import WatchedConnection
context = zmq.Context()
def impatient():
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RECONNECT_IVL, 1)
    return socket
watched = WatchedConnection(impatient, "tcp://127.0.0.1:9")
time.sleep(2)
push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
port = push.bind_to_random_port("tcp://127.0.0.1")
pull.connect(f"tcp://127.0.0.1:{port}")
push.send(b"x")
assert pull.poll(5000)
events = 0
while watched.monitor.poll(0):
    watched.monitor.recv_multipart()
    events += 1
assert events > 2000, events
context.destroy(0)
print("alive")
"""


def test_connection_that_nobody_looks_at_stops_no_other_socket() -> None:
    """A program that is busy for an hour while its worker is away can still use its other sockets, and end."""
    done = subprocess.run(
        [sys.executable, "-c", UNREAD], check=False, capture_output=True, text=True, timeout=40
    )
    assert done.stdout.strip() == "alive", done.stderr
