"""A camera on real sockets."""

import contextlib
import socket
import time
from dataclasses import fields, replace
from typing import Final

import pytest
import zmq
from tests.unit.made.line_messages import message, pictures
from tests.unit.made.line_sockets import Connect

from cmfm_client import sockets
from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_client.errors import BindError, ClientError, EndpointError, NoSubscriberError
from cmfm_protocol.wire.errors import LocalProtocolError
from cmfm_protocol.wire.frame import decode_frame
from cmfm_protocol.wire.state import CameraState, decode_camera_state
from cmfm_protocol.wire.topics import parse_topic
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger

LARGE = [b"x" * 2_000_000]
"""More than a kernel's socket buffer takes."""


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_frames_and_heartbeats_arrive_whole_and_in_order(kind: str, endpoint: str, connect: Connect) -> None:
    """From the first frame on: nothing is lost to a subscriber that is still joining."""
    options = CameraOptions("tcp://127.0.0.1:*" if kind == "tcp" else endpoint)
    with Camera(options) as camera:
        worker = connect(zmq.SUB, camera.endpoint)
        assert camera.wait_for_subscriber(5)
        for seq in range(3):
            assert camera.send(seq, message(seq))
    frames, states = receive_all(worker)
    assert [decode_frame(frame).header.seq for frame in frames] == [0, 1, 2]
    assert states[-1].closing
    assert states[-1].next_seq == 3
    assert states[-1].stream_uuid == camera.stream_uuid


def test_every_boot_is_another_stream(endpoint: str) -> None:
    """A worker must not take a rebooted camera's numbers for those of the boot before."""
    streams = set()
    for _ in range(3):
        with Camera(CameraOptions(endpoint)) as camera:
            streams.add(camera.stream_uuid)
    assert len(streams) == 3


def test_a_resting_camera_sends_heartbeats(endpoint: str, connect: Connect) -> None:
    """The loss of the newest frame is noticed without a further one."""
    with Camera(CameraOptions(endpoint)) as camera:
        worker = connect(zmq.SUB, camera.endpoint)
        camera.wait_for_subscriber(5)
        camera.advance(7)  # a frame that was lost on the way
        rest(camera, 0.5)
        state = decode_camera_state(worker.recv_multipart())
        while state.next_seq != 7:
            state = decode_camera_state(worker.recv_multipart())
        assert not state.closing


def test_a_camera_that_nobody_listens_to_says_what_to_do(endpoint: str) -> None:
    """After the time it was told to wait."""
    with Camera(CameraOptions(endpoint)) as camera:
        started_s = time.monotonic()
        with pytest.raises(NoSubscriberError, match=r"nobody subscribed .* within 0\.2 s; start the worker"):
            camera.wait_for_subscriber(0.2)
        assert time.monotonic() - started_s < 2


def test_another_lines_subscriber_is_not_ours(endpoint: str, connect: Connect) -> None:
    """line10 does not listen to line1."""
    with Camera(CameraOptions(endpoint, line="line1")) as camera:
        other = connect(zmq.SUB, camera.endpoint)
        other.setsockopt(zmq.UNSUBSCRIBE, b"")
        other.setsockopt(zmq.SUBSCRIBE, b"cmfm/1/line10/station1/frame/")
        with pytest.raises(NoSubscriberError):
            camera.wait_for_subscriber(0.3)


def test_a_frame_for_nobody_is_counted(endpoint: str, connect: Connect) -> None:
    """Also after a subscriber has left, of which ZeroMQ says nothing."""
    with Camera(CameraOptions(endpoint)) as camera:
        assert not camera.send(0, message(0))
        worker = connect(zmq.SUB, camera.endpoint)
        camera.wait_for_subscriber(5)
        assert camera.send(1, message(1))
        worker.close(0)
        until_s = time.monotonic() + 5
        while camera.has_subscriber and time.monotonic() < until_s:
            camera.rest(0.05)
        assert not camera.send(2, message(2))
        assert camera.pub_drops == 2
        assert camera.next_seq == 3


def test_one_of_two_subscribers_may_leave(endpoint: str, connect: Connect) -> None:
    """Frames go on to the other one; they are dropped when it has left as well."""
    with Camera(CameraOptions(endpoint)) as camera:
        first, second = (connect(zmq.SUB, camera.endpoint) for _ in range(2))
        until_s = time.monotonic() + 5
        for seq in range(1000):  # until both have joined
            camera.send(seq, message(seq))
            if first.poll(5) and second.poll(5):
                break
        first.close(0)
        rest(camera, 0.3)
        assert camera.has_subscriber
        second.close(0)
        while camera.has_subscriber:
            assert time.monotonic() < until_s
            camera.rest(0.05)


def test_a_full_queue_neither_blocks_nor_loses_silently(endpoint: str, connect: Connect) -> None:
    """Frames that a stalled subscriber does not take are counted, and the others arrive whole."""
    with Camera(CameraOptions(endpoint, send_hwm=2, send_limit_ms=10)) as camera:
        worker = connect(zmq.SUB, camera.endpoint)
        worker.setsockopt(zmq.RCVHWM, 2)
        camera.wait_for_subscriber(5)
        worker.poll(0)
        sent = []
        for seq in range(30):
            started_s = time.monotonic()
            sent.append(camera.send(seq, [camera.frame_topic, bytes([seq]), *LARGE]))
            assert time.monotonic() - started_s < 1
        assert 0 < camera.pub_drops == sent.count(False)
        arrived = [worker.recv_multipart() for _ in range(sent.count(True))]
        frames = [parts for parts in arrived if parts[0] == camera.frame_topic]
        assert [len(parts) for parts in arrived if parts not in frames] == [2] * (len(arrived) - len(frames))
        kept = [seq for seq, left in enumerate(sent) if left]
        assert [parts[1][0] for parts in frames] == kept[: len(frames)]
        assert all(parts[2:] == LARGE for parts in frames)


def test_a_taken_endpoint_is_named(endpoint: str) -> None:
    """The second camera on an endpoint fails at once."""
    with (
        Camera(CameraOptions("tcp://127.0.0.1:*")) as camera,
        pytest.raises(BindError, match=camera.endpoint),
    ):
        Camera(CameraOptions(camera.endpoint))


@pytest.mark.parametrize(
    "text", ["127.0.0.1:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://h:70000", "udp://x:1"]
)
def test_invalid_endpoint_is_refused(text: str) -> None:
    """The message says that it is the camera's."""
    with pytest.raises(EndpointError, match="camera endpoint"):
        Camera(CameraOptions(text))


def test_invalid_line_name_is_refused(endpoint: str) -> None:
    """Before anything is bound."""
    with pytest.raises(LocalProtocolError, match="line 'a/b'"):
        Camera(CameraOptions(endpoint, line="a/b"))


def test_camera_counts_triggers_and_seals_their_frames(endpoint: str, connect: Connect) -> None:
    """Each part has the next number; its frame says what its trigger said, under checksums, after the announcement."""
    with Camera(CameraOptions(endpoint, send_limit_ms=5000)) as camera:
        worker = connect(zmq.SUB, camera.endpoint)
        camera.wait_for_subscriber(5)
        triggers = [
            camera.trigger(f"part-{n}", recipe="bagel", deadline_ms=200.0, encoder=n, calib_id="c")
            for n in range(2)
        ]
        for trigger in triggers:
            assert camera.publish(trigger, *pictures())
    received: list[list[bytes]] = []
    while len(received) < 4:
        parts = worker.recv_multipart()
        received += [parts] if parse_topic(parts[0]).kind != "state" else []
    kinds = [parse_topic(parts[0]).kind for parts in received]
    assert kinds == ["trigger", "trigger", "frame", "frame"]
    announced = [decode_trigger(parts) for parts in received[:2]]
    assert [replace(message, sealed=False) for message in announced] == triggers
    frames = [decode_frame(parts) for parts in received[2:]]
    assert all(message.sealed for message in announced)
    assert all(frame.sealed for frame in frames)
    for frame, trigger in zip(frames, triggers, strict=True):
        names = [field.name for field in fields(TriggerMessage) if field.name != "sealed"]
        said = {name: getattr(frame.header, name) for name in names}
        assert said == {name: getattr(trigger, name) for name in names}
    assert [trigger.seq for trigger in triggers] == [0, 1]


@pytest.mark.parametrize(("clock", "now_ns"), [("realtime", 2_000), ("monotonic", 1_000), ("none", 2_000)])
def test_trigger_is_stamped_by_the_clock_that_it_names(endpoint: str, clock: str, now_ns: int) -> None:
    """A camera on the worker's host may use its monotonic clock, one without a synchronised clock says so."""
    with Camera(CameraOptions(endpoint), StoppedClock()) as camera:
        trigger = camera.trigger("a", clock=clock)
        assert (trigger.clock, trigger.trigger_ns) == (clock, now_ns)
        assert camera.trigger("b", clock=clock, trigger_ns=7).trigger_ns == 7
        camera.close(in_order=False)


class StoppedClock:
    """Always the same time."""

    def realtime_ns(self) -> int:
        return 2_000

    def monotonic_ns(self) -> int:
        return 1_000


def test_number_is_never_used_twice(endpoint: str) -> None:
    """A trigger has one frame, also if it was dropped; another camera's trigger has none here."""
    with Camera(CameraOptions(endpoint)) as camera, Camera(CameraOptions("tcp://127.0.0.1:*")) as other:
        trigger, foreign = camera.trigger("a"), other.trigger("a")
        assert not camera.publish(trigger, *pictures())  # nobody listens
        for wrong in (trigger, foreign, replace(trigger, seq=1)):
            with pytest.raises(ClientError, match="expects no frame"):
                camera.publish(wrong, *pictures())
        camera.send(5, message(5))
        assert camera.trigger("b").seq == 6


def test_trigger_that_cannot_be_sent_takes_no_number(endpoint: str) -> None:
    """A gap in the numbers would be a part to the worker."""
    with Camera(CameraOptions(endpoint)) as camera:
        with pytest.raises(LocalProtocolError):
            camera.trigger("line\nbreak")
        assert camera.trigger("fine").seq == 0


def test_last_heartbeat_counts_triggers_without_a_frame(endpoint: str, connect: Connect) -> None:
    """The worker learns of a part whose frame never came, without an announcement."""
    with Camera(CameraOptions(endpoint, send_limit_ms=5000)) as camera:
        worker = connect(zmq.SUB, camera.endpoint)
        camera.wait_for_subscriber(5)
        camera.publish(camera.trigger("a", announce=False), *pictures())
        camera.trigger("b", announce=False)
    _, states = receive_all(worker)
    assert states[-1].next_seq == 2


def test_triggers_without_a_frame_do_not_pile_up(endpoint: str) -> None:
    """The newest 1024 may still have their frame."""
    with Camera(CameraOptions(endpoint)) as camera:
        triggers = [camera.trigger(str(n), announce=False) for n in range(1025)]
        with pytest.raises(ClientError):
            camera.publish(triggers[0], *pictures())
        camera.publish(triggers[1], *pictures())


def test_ipc_endpoint_is_not_taken_from_its_camera(endpoint: str, connect: Connect) -> None:
    """libzmq would give it to the second camera without a word."""
    with Camera(CameraOptions(endpoint)) as camera:
        with pytest.raises(BindError, match="another process listens"):
            Camera(CameraOptions(endpoint))
        connect(zmq.SUB, endpoint)
        assert camera.wait_for_subscriber(5)


def receive_all(worker: zmq.Socket[bytes]) -> tuple[list[list[bytes]], list[CameraState]]:
    """Everything up to the first closing heartbeat."""
    frames, states = list[list[bytes]](), list[CameraState]()
    while not (states and states[-1].closing):
        parts = worker.recv_multipart()
        if parse_topic(parts[0]).kind == "frame":
            frames.append(parts)
        else:
            states.append(decode_camera_state(parts))
    return frames, states


def rest(camera: Camera, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        camera.rest(0.05)


def test_slow_worker_loses_nothing_that_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not read for a while has a full queue, and answers no PING behind it: it is not dead."""
    monkeypatch.setattr(sockets, "HEARTBEAT_IVL_MS", 50)
    monkeypatch.setattr(sockets, "HEARTBEAT_TIMEOUT_MS", 100)
    body = bytes(1_000_000)
    with Camera(CameraOptions("tcp://127.0.0.1:*", send_limit_ms=1)) as camera, zmq.Context() as context:
        worker = context.socket(zmq.SUB)
        worker.setsockopt(zmq.RCVHWM, 2)
        worker.setsockopt(zmq.RCVTIMEO, 2000)
        worker.setsockopt(zmq.LINGER, 0)
        worker.subscribe(camera.frame_topic)
        worker.connect(camera.endpoint)
        camera.wait_for_subscriber(5)
        sent = [
            seq for seq in range(30) if camera.send(seq, [camera.frame_topic, seq.to_bytes(2, "big"), body])
        ]
        assert len(sent) < 30  # the queues are full
        until_s = time.monotonic() + 0.6
        while time.monotonic() < until_s:
            camera.rest(0.05)
        try:
            assert [int.from_bytes(worker.recv_multipart()[1], "big") for _ in sent] == sent
        finally:
            worker.close()


ZMTP: Final = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + bytes(48)
"""The greeting of a ZMTP 3 peer without security."""


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 40,
        ZMTP,
        ZMTP + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB\x02\x7f\xff\xff\xff\xff\xff\xff\xff",
        ZMTP + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB\x00\x06\x01cmfm/\xff\xff\xff",
    ],
    ids=["http", "bytes", "greeting", "oversize", "framing"],
)
def test_rough_visitors_cost_the_worker_nothing(connect: Connect, noise: bytes) -> None:
    """Whatever connects to a camera and however it ends: the subscriber that was there has every frame, once."""
    with contextlib.ExitStack() as stack, Camera(CameraOptions("tcp://127.0.0.1:*")) as camera:
        worker = connect(zmq.SUB, camera.endpoint)
        camera.wait_for_subscriber(5)
        port = int(camera.endpoint.rpartition(":")[2])
        for seq in range(6):
            visitor = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            visitor.sendall(noise)
            camera.rest(0.05)
            if seq % 2:
                visitor.close()
            assert camera.send(seq, message(seq))
        heard: list[int] = []
        while len(heard) < 6:
            received = worker.recv_multipart()
            if parse_topic(received[0]).kind == "frame":
                heard.append(decode_frame(received).header.seq)
        assert heard == list(range(6))
        assert camera.pub_drops == 0
