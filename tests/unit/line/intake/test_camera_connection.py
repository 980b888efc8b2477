"""The connection to a camera over real TCP: a loss is seen within a second, and parts come again after it."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
import zmq
from structlog.testing import capture_logs
from tests.unit.line.intake.test_admission import HEADER, OneRecipe, message
from tests.unit.made.rough_tcp import Damage, DamagingProxy, ForeignService, at

from cmfm_protocol.clock import NS_PER_MS, SystemClock
from cmfm_protocol.files.key_files import KeyPair
from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.camera_sockets import SILENT_NS, Silence
from cmfm_worker.line.intake.receiver import Receiver
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.messages import BookEvent, Opened, SourceChanged
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.settings.model import Settings

STATE = topic("line1", "station1", "state")
LIMIT_S = 15.0


class Camera:
    """A camera on a port of its own, with or without CURVE."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", port: int, secret: bytes | None = None
    ) -> None:
        self.next_seq = 0
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        if secret is not None:
            self._socket.setsockopt(zmq.CURVE_SERVER, 1)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        wait_until(lambda: self._bound(port))

    def _bound(self, port: int) -> bool:
        try:
            self._socket.bind(f"tcp://127.0.0.1:{port}")
        except zmq.ZMQError:  # the one before is not quite gone
            return False
        return True

    def part(self, side: int = 20) -> None:
        seq = self.next_seq
        self.next_seq += 1
        header = replace(HEADER, seq=seq, part_id=f"part{seq}", trigger_ns=time.time_ns())
        self._socket.send_multipart(message(header, side=side))

    def beat(self) -> None:
        state = CameraState("cam", self.next_seq, closing=False, sent_ns=time.time_ns())
        self._socket.send_multipart(encode_camera_state(STATE, state))

    def send(self, frames: Sequence[bytes]) -> None:
        self._socket.send_multipart(frames)

    def close(self) -> None:
        self._socket.close(0)


class Line:
    """A receiver with its admission, and what it posted."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, keys: Keys) -> None:
        self.events: list[BookEvent] = []
        settings = Settings(
            sockets={"frames": [endpoint]}, intake={"heartbeat_ms": 100}, ring={"max_pixels": 40_000}
        )
        admission = Admission(
            settings=settings.intake,
            ring=Ring(slots=64, max_pixels=10_000, pinned=False),
            recipes=OneRecipe(),
            tracker=SequenceTracker(max_gap=100, window_ns=200 * NS_PER_MS),
            post=self.events.append,
            done_ns=lambda now_ns: now_ns,
            clock=SystemClock(),
            cameras=settings.camera_names,
        )
        self.receiver = Receiver(settings, context, admission, self.events.append, keys)
        self.receiver.start()

    @property
    def alive(self) -> list[bool]:
        return [event.alive for event in self.events if isinstance(event, SourceChanged)]

    @property
    def inspected(self) -> set[int]:
        """Numbers of the parts whose frame waits for its computation."""
        opened = [event for event in self.events if isinstance(event, Opened) and event.decision is None]
        return {event.trigger.key.seq for event in opened}

    def close(self) -> None:
        self.receiver.stop()
        self.receiver.join(5)


Made = TypeVar("Made", Camera, DamagingProxy, ForeignService, Line)


class Hall:
    """Makes cameras, proxies and lines, and closes them."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.context.destroy, 0)

    def camera(self, secret: bytes | None = None) -> Camera:
        return self._kept(Camera(self.context, self.port, secret))

    def proxy(self) -> DamagingProxy:
        return self._kept(DamagingProxy(self.port))

    def foreign(self, greeting: bytes, *, keeps: bool) -> ForeignService:
        return self._kept(ForeignService(self.port, greeting, keeps=keeps))

    def line(self, endpoint: str = "", keys: Keys = Keys()) -> Line:
        return self._kept(Line(self.context, endpoint or self.endpoint, keys))

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._stack.close()

    def _kept(self, made: Made) -> Made:
        self._stack.callback(made.close)
        return made


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.close()


def wait_until(
    true: Callable[[], bool], limit_s: float = LIMIT_S, meanwhile: Callable[[], None] = lambda: None
) -> None:
    until_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < until_s
        meanwhile()
        time.sleep(0.05)


def parts_until_inspected(camera: Camera, line: Line) -> None:
    """Send parts until one of them, sent from now on, is inspected."""
    first = camera.next_seq
    wait_until(lambda: any(seq >= first for seq in line.inspected), meanwhile=camera.part)


def running(hall: Hall, endpoint: str = "") -> tuple[Camera, Line]:
    camera, line = hall.camera(), hall.line(endpoint)
    parts_until_inspected(camera, line)
    wait_until(lambda: line.alive == [True])
    return camera, line


def test_message_above_the_size_limit_costs_a_reconnect(hall: Hall) -> None:
    """The worker sees the loss within a second, logs it, connects again and inspects the next parts."""
    camera, line = running(hall)
    with capture_logs() as logs:
        camera.send([topic("line1", "station1", "frame"), bytes(MAX_MESSAGE_BYTES + 1)])
        wait_until(lambda: False in line.alive)
        parts_until_inspected(camera, line)
        wait_until(lambda: line.alive[-1])
    events = [(entry["event"], entry.get("detail", "")) for entry in logs]
    assert events[0][0] == "camera_lost"
    assert any(event == "camera_reconnecting" and "size limit" in detail for event, detail in events)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(at(0, 0x02), id="long flag"),
        pytest.param(at(0, 0x04), id="command flag"),
        pytest.param(at(0, 0x01), id="more flag"),
        pytest.param(at(1, 0x01), id="length of the topic"),
        pytest.param(at(1, 0x10), id="length of the topic, more"),
    ],
)
def test_damaged_framing_costs_a_reconnect(hall: Hall, damage: Damage) -> None:
    """One damaged byte between camera and worker: parts sent after it are inspected again."""
    proxy = hall.proxy()
    camera, line = running(hall, proxy.endpoint)
    proxy.damage_next(damage)
    camera.part()
    wait_until(lambda: proxy.damaged)
    parts_until_inspected(camera, line)
    wait_until(lambda: line.alive[-1])


def test_damaged_length_that_swallows_messages_is_seen_by_missing_heartbeats(hall: Hall) -> None:
    """The connection looks healthy while libzmq waits for megabytes: the camera's heartbeats are missed in a second."""
    proxy = hall.proxy()
    camera, line = running(hall, proxy.endpoint)
    for _ in range(5):
        camera.beat()
        time.sleep(0.1)
    header_length = len(topic("line1", "station1", "frame")) + 2 + 1
    proxy.damage_next(at(header_length + 4, 0x01))  # 16 MB more
    camera.part()
    wait_until(lambda: proxy.damaged)
    damaged_s = time.monotonic()
    wait_until(lambda: False in line.alive, meanwhile=camera.beat)
    assert time.monotonic() - damaged_s < 2.0
    parts_until_inspected(camera, line)
    wait_until(lambda: line.alive[-1])


def test_damaged_length_of_a_camera_without_heartbeats_costs_a_few_parts(hall: Hall) -> None:
    """libzmq takes the next frames for one of 16 MB; the bytes that the kernel received tell long before those come."""
    proxy = hall.proxy()
    camera, line = running(hall, proxy.endpoint)
    side = 100
    for _ in range(3):
        camera.part(side)
    wait_until(lambda: camera.next_seq - 1 in line.inspected)
    header_length = len(topic("line1", "station1", "frame")) + 2 + 1
    proxy.damage_next(at(header_length + 4, 0x01))
    camera.part(side)
    wait_until(lambda: proxy.damaged)
    first = camera.next_seq
    with capture_logs() as logs:
        wait_until(
            lambda: any("length" in entry.get("detail", "") for entry in logs),
            meanwhile=lambda: camera.part(side),
        )
    assert camera.next_seq - first < 30  # of 107 that 16 MB hold
    parts_until_inspected(camera, line)
    wait_until(lambda: line.alive[-1])


def test_camera_that_turns_encryption_on_and_off_again(hall: Hall) -> None:
    """With CURVE on one side only the worker says so; without it parts are inspected again."""
    camera, line = running(hall)
    camera.close()
    wait_until(lambda: not line.alive[-1])
    with capture_logs() as logs:
        secured = hall.camera(zmq.curve_keypair()[1])
        wait_until(lambda: any("CURVE" in entry.get("detail", "") for entry in logs))
    secured.close()
    plain = hall.camera()
    plain.next_seq = camera.next_seq
    parts_until_inspected(plain, line)
    wait_until(lambda: line.alive[-1])


def test_camera_without_keys_at_first_gets_them(hall: Hall) -> None:
    """A worker that has the camera's key connects as soon as the camera uses it."""
    own, cameras = KeyPair(*zmq.curve_keypair()), KeyPair(*zmq.curve_keypair())
    camera = hall.camera()
    line = hall.line(keys=Keys(own, {}, {hall.endpoint: cameras.public}))
    time.sleep(0.5)
    assert line.inspected == set()
    camera.close()
    parts_until_inspected(hall.camera(cameras.secret), line)
    wait_until(lambda: line.alive[-1:] == [True])


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff" + bytes(8) + b"\x7f\x03" + bytes(80),
    ],
    ids=["silent", "http", "ssh", "zmtp"],
)
def test_another_service_at_the_address_first(hall: Hall, greeting: bytes, keeps: bool) -> None:
    """Whatever answered before, the camera that comes then is connected, alive, and its parts are inspected."""
    foreign = hall.foreign(greeting, keeps=keeps)
    line = hall.line()
    wait_until(lambda: foreign.visitors >= 2)
    time.sleep(0.5)
    assert line.alive == []
    foreign.close()
    parts_until_inspected(hall.camera(), line)
    wait_until(lambda: line.alive == [True])


def test_service_that_never_speaks_zmtp_is_named(hall: Hall) -> None:
    """The log says that what answers there is not a camera."""
    hall.foreign(b"HTTP/1.1 400 Bad Request\r\n\r\n", keeps=True)
    with capture_logs() as logs:
        hall.line()
        wait_until(lambda: any("another service" in entry.get("detail", "") for entry in logs))


def test_other_kind_of_zeromq_socket_first(hall: Hall) -> None:
    """A ROUTER at the camera's address refuses the worker; the camera after it does not."""
    router = hall.context.socket(zmq.ROUTER)
    router.bind(hall.endpoint)
    line = hall.line()
    time.sleep(0.7)
    router.close(0)
    parts_until_inspected(hall.camera(), line)
    wait_until(lambda: line.alive == [True])


def test_silence_counts_only_what_was_watched() -> None:
    """A camera that sends no heartbeats is never silent, and a process that was stopped has missed nothing."""
    silence = Silence()
    assert not silence.too_long(0)
    assert not silence.too_long(3600 * 1000 * NS_PER_MS)
    now_ns = 0
    silence = Silence()
    for _ in range(3):
        now_ns += 100 * NS_PER_MS
        silence.heard(now_ns, beat=True)
        assert not silence.too_long(now_ns)
    now_ns += 3600 * 1000 * NS_PER_MS  # SIGSTOP
    assert not silence.too_long(now_ns)
    turns = 0
    while not silence.too_long(now_ns):
        now_ns += 10 * NS_PER_MS
        turns += 1
    assert 0.7 * SILENT_NS <= turns * 10 * NS_PER_MS <= SILENT_NS


def test_silence_after_a_new_connection_is_waited_for_longer() -> None:
    """A frame that takes longer than the limit gets through at a later attempt."""
    silence, now_ns, waited = Silence(), 0, []
    for _ in range(3):
        for _ in range(2):
            now_ns += 100 * NS_PER_MS
            silence.heard(now_ns, beat=True)
        began_ns = now_ns
        silence.too_long(now_ns)
        while not silence.too_long(now_ns):
            now_ns += 10 * NS_PER_MS
        waited.append(now_ns - began_ns)
        silence.restart()
    assert waited[2] > 1.8 * waited[1] > 3 * waited[0]
