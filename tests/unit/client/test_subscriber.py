"""The subscriber on real sockets, against a small worker that publishes what it is told to."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import zmq
from tests.unit.made.line_messages import result, worker_state

from cmfm_client.errors import EndpointError
from cmfm_client.events import Damaged, Event, LinkChanged, LossCause, Lost, NewBoot, Received, Silence
from cmfm_client.received_ids import IdRange, Missing, ReceivedIds
from cmfm_client.subscriber import RETRIES, ResultSubscriber, SubscriberOptions
from cmfm_protocol.wire.control import ResultsSinceRequest, decode_request, encode_results_reply
from cmfm_protocol.wire.result import Result, encode_result
from cmfm_protocol.wire.state import WorkerState, encode_worker_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.verdict import Verdict

RESULT_TOPIC = topic("line1", "station1", "result")
STATE_TOPIC = topic("line1", "station1", "state")


class PublishingWorker:
    """Publishes results, or keeps them for requests. `history` begins with result `oldest`."""

    def __init__(self, *, oldest: int = 1, page: int = 500) -> None:
        self.asked = 0
        self.mute = False  # does not reply
        self._boot_id = "boot"
        self._oldest = oldest
        self._page = page
        self._history: list[Result] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._pub = self._context.socket(zmq.XPUB)
        self._router = self._context.socket(zmq.ROUTER)
        for socket in (self._pub, self._router):
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind("tcp://127.0.0.1:*")
        self.results = self._pub.getsockopt_string(zmq.LAST_ENDPOINT)
        self.recovery = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def wait_for_subscriber(self) -> None:
        assert self._pub.poll(5000)
        self._pub.recv()

    def publish(self, *seqs: int, lost: bool = False) -> None:
        """Results with ids seq + 1; lost ones can only be asked for."""
        for seq in seqs:
            made = result(seq, boot_id=self._boot_id)
            self._history.append(made)
            if not lost:
                self._pub.send_multipart(encode_result(RESULT_TOPIC, made))

    def restart(self) -> None:
        """As a worker that was killed and started again: a new boot without results."""
        self._boot_id, self._history = "second", []

    def heartbeat(self, published: int) -> None:
        state = worker_state({Verdict.PASS: published}, boot_id=self._boot_id)
        self._pub.send_multipart(encode_worker_state(STATE_TOPIC, state))

    def send(self, *parts: bytes) -> None:
        self._pub.send_multipart(parts)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for socket in (self._pub, self._router):
            socket.close()
        self._context.term()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if not self._router.poll(20):
                continue
            *envelope, body = self._router.recv_multipart()
            request = decode_request(body)
            assert isinstance(request, ResultsSinceRequest)
            self.asked += 1
            if self.mute:
                continue
            held = [made for made in self._history if made.result_id >= self._oldest]
            page = [made for made in held if made.result_id > request.result_id][
                : min(request.limit, self._page)
            ]
            reply = encode_results_reply(
                request.id,
                boot_id=self._boot_id,
                oldest_id=self._oldest,
                newest_id=len(self._history),
                payloads=[encode_result(RESULT_TOPIC, made)[1] for made in page],
                complete=True,
            )
            self._router.send_multipart([*envelope, reply])


@pytest.fixture
def worker() -> Iterator[PublishingWorker]:
    made = PublishingWorker()
    yield made
    made.close()


def collect(subscriber: ResultSubscriber, enough: Callable[[list[Event]], bool]) -> list[Event]:
    events: list[Event] = []
    until_s = time.monotonic() + 5
    while not enough(events):
        assert time.monotonic() < until_s, events
        events += subscriber.poll(0.05)
    return events


def ids(events: list[Event]) -> list[int]:
    return [event.result.result_id for event in events if isinstance(event, Received)]


def until(result_id: int) -> Callable[[list[Event]], bool]:
    return lambda events: result_id in ids(events)


def lost(events: list[Event]) -> list[Lost]:
    return [event for event in events if isinstance(event, Lost)]


def heard_state(events: list[Event]) -> bool:
    return any(isinstance(event, WorkerState) for event in events)


def test_results_and_heartbeats_come_as_they_are_published(worker: PublishingWorker) -> None:
    """With the time of their arrival."""
    with ResultSubscriber(SubscriberOptions(worker.results)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0, 1)
        worker.heartbeat(2)
        events = collect(subscriber, heard_state)
    assert ids(events) == [1, 2]
    assert all(
        abs((event.received_ns or 0) - time.time_ns()) < 10e9
        for event in events
        if isinstance(event, Received)
    )


def test_a_gap_is_asked_for_and_comes_in_order(worker: PublishingWorker) -> None:
    """Before the result that showed it; recovered results carry no time of arrival."""
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, 2, lost=True)
        worker.publish(3)
        events = collect(subscriber, until(4))
    assert ids(events) == [1, 2, 3, 4]
    assert [e.received_ns is None for e in events if isinstance(e, Received)] == [False, True, True, False]


def test_a_heartbeat_shows_that_the_last_results_were_lost(worker: PublishingWorker) -> None:
    """Without a later result that would show the gap."""
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, 2, lost=True)
        worker.heartbeat(3)
        assert ids(collect(subscriber, heard_state)) == [1, 2, 3]


def test_a_gap_of_many_pages_is_recovered_whole() -> None:
    """The worker gives a page at a time."""
    worker = PublishingWorker(page=7)
    try:
        with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
            worker.wait_for_subscriber()
            worker.publish(0)
            worker.publish(*range(1, 40), lost=True)
            worker.publish(40)
            assert ids(collect(subscriber, until(41))) == list(range(1, 42))
            assert worker.asked == 6
    finally:
        worker.close()


def test_results_that_the_worker_no_longer_holds_are_lost() -> None:
    """The rest of the gap comes."""
    worker = PublishingWorker(oldest=4)
    try:
        with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
            worker.wait_for_subscriber()
            worker.publish(0)
            worker.publish(1, 2, 3, 4, lost=True)
            worker.publish(5)
            events = collect(subscriber, until(6))
    finally:
        worker.close()
    assert ids(events) == [1, 4, 5, 6]
    assert lost(events) == [Lost(Missing("boot", 2, 3), LossCause.TOO_OLD)]


def test_without_a_recovery_endpoint_a_gap_is_reported(worker: PublishingWorker) -> None:
    """Once; the results after it come."""
    with ResultSubscriber(SubscriberOptions(worker.results)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, 2, lost=True)
        worker.publish(3, 4)
        events = collect(subscriber, until(5))
    assert lost(events) == [Lost(Missing("boot", 2, 3), LossCause.NO_RECOVERY)]
    assert ids(events) == [1, 4, 5]


@pytest.mark.parametrize(("from_start", "expected"), [(True, [1, 2, 3, 4]), (False, [4])])
def test_a_late_joiner_gets_all_if_it_wants_to(
    worker: PublishingWorker, from_start: bool, expected: list[int]
) -> None:
    """Results from before its time are asked for; without `from_start` they are not."""
    worker.publish(0, 1, 2)
    options = SubscriberOptions(worker.results, recovery=worker.recovery, from_start=from_start)
    with ResultSubscriber(options) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(3)
        assert ids(collect(subscriber, until(4))) == expected


def test_catching_up_asks_for_results_that_did_not_come(worker: PublishingWorker) -> None:
    """At the end of a run, without waiting for a heartbeat."""
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        collect(subscriber, until(1))
        worker.publish(1, 2, lost=True)
        assert ids(subscriber.catch_up()) == [2, 3]
        assert subscriber.catch_up() == []


def test_a_worker_that_does_not_answer_holds_nothing_up(worker: PublishingWorker) -> None:
    """A recovery endpoint without a worker costs a second, not the later results."""
    options = SubscriberOptions(worker.results, recovery="ipc:///tmp/cmfm-nobody-is-here")
    with ResultSubscriber(options) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, lost=True)
        worker.publish(2)
        events = collect(subscriber, until(3))
    assert ids(events) == [1, 3]


def test_results_are_asked_for_again_until_the_worker_replies(worker: PublishingWorker) -> None:
    """A worker that hangs does not reply at once; later results go ahead, and the missing ones follow."""
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, lost=True)
        worker.mute = True
        worker.publish(2)
        events = collect(subscriber, until(3))
        worker.mute = False
        worker.heartbeat(3)
        events += collect(subscriber, until(2))
    assert ids(events) == [1, 3, 2]
    assert lost(events) == []


def test_worker_that_never_replies_is_given_up(worker: PublishingWorker) -> None:
    """After 20 heartbeats the results are reported lost, once."""
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, lost=True)
        worker.mute = True
        events = []
        for _ in range(RETRIES + 3):
            worker.heartbeat(2)
            events += collect(subscriber, heard_state)
    assert lost(events) == [Lost(Missing("boot", 2, 2), LossCause.NO_REPLY)]
    assert worker.asked == 1 + RETRIES


def test_restarted_worker_is_told_apart_from_a_gap(worker: PublishingWorker) -> None:
    """Its results follow from the first; what was still wanted of the former boot is in its ledger alone."""
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, lost=True)
        worker.mute = True
        worker.publish(2)
        events = collect(subscriber, until(3))
        worker.restart()
        worker.mute = False
        worker.publish(0, lost=True)
        worker.publish(1)
        events += collect(subscriber, until(2))
    kept = [event for event in events if not isinstance(event, LinkChanged)]
    assert [type(event) for event in kept] == [Received, Received, Lost, NewBoot, Received, Received]
    assert kept[2] == Lost(Missing("boot", 2, 2), LossCause.NEW_BOOT)
    assert kept[3] == NewBoot("second", "boot", 3)
    assert ids(events) == [1, 3, 1, 2]


def test_gap_of_a_boot_that_is_over_is_lost(worker: PublishingWorker) -> None:
    """The worker is another by the time it is asked."""
    with ResultSubscriber(SubscriberOptions(worker.results, recovery=worker.recovery)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0)
        worker.publish(1, lost=True)
        worker.publish(2)
        worker.restart()  # before the subscriber sees the gap
        events = collect(subscriber, until(3))
    assert lost(events) == [Lost(Missing("boot", 2, 2), LossCause.NEW_BOOT)]


def test_restarted_subscriber_completes_its_record(worker: PublishingWorker) -> None:
    """Gaps of its earlier run and what was published meanwhile come; what it had does not."""
    worker.publish(*range(8))
    had = {"boot": ReceivedIds(newest=5, owed=[IdRange(2, 3)])}
    options = SubscriberOptions(worker.results, recovery=worker.recovery, received=had)
    with ResultSubscriber(options) as subscriber:
        worker.wait_for_subscriber()
        worker.heartbeat(8)
        assert ids(collect(subscriber, heard_state)) == [2, 3, 6, 7, 8]


def test_silence_is_reported_once_until_the_worker_is_heard(worker: PublishingWorker) -> None:
    """From the start on: a line without a worker is to be stopped."""
    with ResultSubscriber(SubscriberOptions(worker.results, silence_s=0.2)) as subscriber:
        worker.wait_for_subscriber()
        said = poll_for(subscriber, 0.7)
        worker.heartbeat(0)
        said += collect(subscriber, heard_state)
        said += poll_for(subscriber, 0.7)
    kinds = [type(event) for event in said if not isinstance(event, LinkChanged)]
    assert kinds == [Silence, WorkerState, Silence]


def test_iterator_gives_every_event(worker: PublishingWorker) -> None:
    """For a program that does nothing else."""
    with ResultSubscriber(SubscriberOptions(worker.results)) as subscriber:
        worker.wait_for_subscriber()
        worker.publish(0, 1, 2)
        results = (event.result.result_id for event in subscriber if isinstance(event, Received))
        assert list(islice(results, 3)) == [1, 2, 3]


def poll_for(subscriber: ResultSubscriber, seconds: float) -> list[Event]:
    events: list[Event] = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        events += subscriber.poll(0.02)
    return events


def test_a_damaged_message_is_reported_and_nothing_in_it_believed(worker: PublishingWorker) -> None:
    """The results after it come."""
    with ResultSubscriber(SubscriberOptions(worker.results)) as subscriber:
        worker.wait_for_subscriber()
        worker.send(RESULT_TOPIC, b"\xc1")
        worker.send(b"cmfm/1/no topic", b"")
        worker.publish(0)
        events = collect(subscriber, until(1))
    said = [event for event in events if not isinstance(event, LinkChanged)]
    assert [type(event) for event in said] == [Damaged, Damaged, Received]


def test_invalid_endpoint_is_refused() -> None:
    """The message says whose it is, and no socket is left open."""
    with pytest.raises(EndpointError, match="request endpoint 'nowhere'"):
        ResultSubscriber(SubscriberOptions("tcp://127.0.0.1:1", recovery="nowhere"))


def test_worker_that_goes_away_is_reported_once() -> None:
    """The link is there, then it is gone; further attempts to connect are not reported."""
    worker = PublishingWorker()
    with ResultSubscriber(SubscriberOptions(worker.results)) as subscriber:
        events = collect(subscriber, lambda events: LinkChanged(True) in events)
        worker.close()
        events += collect(subscriber, lambda events: LinkChanged(False) in events)
        events += subscriber.poll(0.5)
    assert events == [LinkChanged(True), LinkChanged(False)]
