"""`cmfm-sim conform` against real sockets: a camera of this project, rough ones, and services that are no camera."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from tests.unit.made.camera_messages import frame, pictures, trigger
from tests.unit.made.rough_tcp import DamagingProxy, ForeignService

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_client.curve import CameraKeys
from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_sim import app
from cmfm_sim.ports import free_ports

Line = dict[str, str]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["cmfm-sim", "conform", *map(str, arguments)])
    try:
        app.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


Check = Callable[..., tuple[int, list[Line]]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the command; returns its exit code and the lines of its report."""

    def checked(endpoint: str, *more: object, seconds: float = 2.0) -> tuple[int, list[Line]]:
        code = run(monkeypatch, "--endpoint", endpoint, "--seconds", seconds, "--json", *more)
        return code, json.loads(capsys.readouterr().out)["lines"]

    return checked


@contextlib.contextmanager
def in_thread(target: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=target, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def our_camera(endpoint: str, keys: CameraKeys | None = None) -> Callable[[threading.Event], None]:
    """A camera of this project that sends 8 parts to whoever subscribes, and closes in order."""

    def send(stop: threading.Event) -> None:
        with Camera(CameraOptions(endpoint, keys=keys)) as camera:
            if not camera.wait_for_subscriber(30, stop.is_set):
                return
            for number in range(8):
                trigger = camera.trigger(f"part-{number}", recipe="bagel", calib_id="c1")
                camera.publish(trigger, *pictures(number))
                camera.rest(0.05)

    return send


def rough_publisher(
    endpoint: str, messages: list[list[bytes]], kind: int = zmq.PUB
) -> Callable[[threading.Event], None]:
    """A publisher that repeats messages until it is stopped."""

    def send(stop: threading.Event) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(kind)
        socket.bind(endpoint)
        while not stop.wait(0.05):
            for message in messages:
                with contextlib.suppress(zmq.Again):
                    socket.send_multipart(message, zmq.NOBLOCK)
        socket.close(0)
        context.term()

    return send


def failed(lines: list[Line]) -> str:
    return "\n".join(f"{line['check']}: {line['found']}" for line in lines if line["level"] == "fail")


@pytest.fixture
def tcp() -> str:
    return f"tcp://127.0.0.1:{free_ports(1)[0]}"


def test_camera_of_this_project_passes(check: Check, tcp: str) -> None:
    """All green, end of the stream included; only the end of its connection is a remark."""
    with in_thread(our_camera(tcp)):
        code, lines = check(tcp, "--line", "line1", "--station", "station1", seconds=2.5)
    assert (code, failed(lines)) == (0, "")
    assert [line["check"] for line in lines if line["level"] == "remark"] == ["connection"]
    said = {line["check"]: line["found"] for line in lines if line["level"] == "pass"}
    assert "XPUB" in said["connection"]
    assert said["seq"] == "0 to 7, by ones"
    assert said["end of the stream"] == "closing was sent"


def test_camera_of_wire_md_passes(check: Check, tcp: str) -> None:
    """The camera in 20 lines follows the document that it stands in; what it leaves out is optional."""
    document = (Path(__file__).parents[3] / "protocol" / "WIRE.md").read_text(encoding="utf-8")
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", document, re.DOTALL) if "# publisher" in block
    )

    def send(stop: threading.Event) -> None:
        names: dict[str, Any] = {}
        exec(code.replace("tcp://127.0.0.1:5555", tcp), names)  # noqa: S102 (our own document is what is tested)
        for number in range(6):
            names["publish"](f"p{number}", "bagel", time.time_ns(), *pictures(number))
            stop.wait(0.1)
        names["socket"].close(2000)
        names["socket"].context.term()

    with in_thread(send):
        code_, lines = check(tcp, seconds=1.5)
    assert (code_, failed(lines)) == (0, "")
    assert {line["check"] for line in lines if line["level"] == "remark"} >= {
        "checksums",
        "heartbeats",
        "trigger messages",
    }


def test_camera_with_keys_passes_with_keys_alone(check: Check, tcp: str, tmp_path: Path) -> None:
    """conform stands for the worker: its own pair, and the camera's public key."""
    pairs = {name: KeyPair(*zmq.curve_keypair()) for name in ("camera1", "worker")}
    for name, pair in pairs.items():
        write_pair(tmp_path, name, pair)
    keys = ("--key", tmp_path / "worker.key_secret", "--server-key", tmp_path / "camera1.key")
    with in_thread(our_camera(tcp, CameraKeys(pairs["camera1"]))):
        code, lines = check(tcp, seconds=0.7)
        assert code == 1
        assert "the camera speaks CURVE" in failed(lines)
        code, lines = check(tcp, *keys, seconds=2.5)
    assert (code, failed(lines)) == (0, "")
    with in_thread(our_camera(tcp)):
        assert "speaks no CURVE" in failed(check(tcp, *keys, seconds=0.7)[1])


def test_nothing_there(check: Check, tcp: str, tmp_path: Path) -> None:
    """One line that says so, and nothing about messages."""
    for endpoint in (tcp, f"ipc://{tmp_path}/none"):
        code, lines = check(endpoint, seconds=0.5)
        assert (code, len(lines)) == (1, 1)
        assert "nothing listens there" in lines[0]["found"]
    assert "unknown host name" in failed(check("tcp://no-such-host.invalid:5555", seconds=0.5)[1])


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "another service answers there"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0"),
        (b"", "no ZeroMQ socket"),
        (b"\xff" + bytes(8) + b"\x7f\x01\x00", "before version 4"),
    ],
)
def test_other_services_are_named(check: Check, tcp: str, greeting: bytes, words: str) -> None:
    """By the first bytes that they say."""
    service = ForeignService(int(tcp.rpartition(":")[2]), greeting, keeps=False)
    try:
        code, lines = check(tcp, seconds=0.7)
    finally:
        service.close()
    assert code == 1
    assert words in failed(lines)


@pytest.mark.parametrize("kind", [zmq.PUSH, zmq.ROUTER, zmq.SUB, zmq.REP])
def test_sockets_that_do_not_publish_are_named(check: Check, tcp: str, kind: int) -> None:
    """libzmq refuses such a connection without a word."""

    def bound(stop: threading.Event) -> None:
        with zmq.Context() as context, context.socket(kind) as socket:
            socket.bind(tcp)
            stop.wait()

    with in_thread(bound):
        code, lines = check(tcp, seconds=0.7)
    assert code == 1
    assert f"a {zmq.SocketType(kind).name} socket answers" in failed(lines)


def test_connected_and_nothing_published(check: Check, tcp: str) -> None:
    """A publisher that waits for a part is told from one that is not there."""
    with in_thread(rough_publisher(tcp, [])):
        code, lines = check(tcp, seconds=0.7)
    assert code == 1
    assert failed(lines) == "connection: connected, and nothing is published"


def test_wrong_topic_and_garbage(check: Check, tcp: str) -> None:
    """A message that a worker never hears is heard here, and named."""
    with in_thread(rough_publisher(tcp, [[b"camera1", b"{}"], [b"\xff\xfe"]])):
        code, lines = check(tcp, seconds=0.7)
    assert code == 1
    assert "no frame message was heard" in failed(lines)
    assert "topic: topic of another form" in failed(lines)
    assert any(line["check"] == "connection" and "PUB" in line["found"] for line in lines)


def test_message_frame_above_the_limit_is_named(check: Check, tcp: str) -> None:
    """libzmq ends such a connection; the report says why, and the other frames are judged all the same."""
    large = [*frame(1)[:3], bytes(MAX_MESSAGE_BYTES + 1)]
    with in_thread(rough_publisher(tcp, [frame(0), large], zmq.XPUB)):
        code, lines = check(tcp, seconds=3)
    assert code == 1
    assert "broke by a protocol error: a message frame above 268435456 bytes" in failed(lines)
    assert any(line["check"] == "frame fields" and line["level"] == "pass" for line in lines)


def test_damaged_framing_is_named(check: Check, tcp: str) -> None:
    """A device between that changes a flag byte of ZMTP."""
    proxy = DamagingProxy(int(tcp.rpartition(":")[2]))

    def damage(data: bytes) -> bytes:
        at = data.find(b"cmfm/") - 2
        return data[:at] + b"\xff" + data[at + 1 :]

    proxy.damage_next(damage)
    try:
        with in_thread(rough_publisher(tcp, [frame(0)], zmq.XPUB)):
            code, lines = check(proxy.endpoint, seconds=2)
    finally:
        proxy.close()
    assert code == 1
    assert "protocol error" in failed(lines)


def test_triggers_of_a_gateway(check: Check, tcp: str) -> None:
    """A second endpoint, with a line of its own; its stream must be the camera's."""
    gateway = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with (
        in_thread(rough_publisher(tcp, [frame(0)])),
        in_thread(rough_publisher(gateway, [trigger(0, stream_uuid="a" * 32)])),
    ):
        code, lines = check(tcp, "--triggers", gateway, seconds=1)
    assert code == 1
    assert "of a stream that sends no frames" in failed(lines)
    assert any(line["check"] == "triggers' connection" and line["level"] == "pass" for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--endpoint", "5555"], "--endpoint '5555' is not an endpoint"),
        (["--endpoint", "tcp://127.0.0.1:*"], "name the camera's host and port"),
        (["--endpoint", "tcp://*:5555"], "name the camera's host and port"),
        (["--triggers", "udp://x"], "--triggers 'udp://x' is not an endpoint"),
        (["--line", "a b"], "line 'a b'"),
        (["--key", "/nowhere"], "go together"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_bad_usage_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """One line, before anything is listened to."""
    assert run(monkeypatch, *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_text_names_what_to_do_and_the_section(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tcp: str
) -> None:
    """A line a finding, what to do below it, and the sum at the end."""
    assert run(monkeypatch, "--endpoint", tcp, "--seconds", 0.5) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("FAIL   connection")
    assert said[2].endswith("[WIRE.md, Sockets]")
    assert said[-1] == "0 pass, 1 fail, 0 remark: this camera does NOT follow WIRE.md"


def test_a_signal_ends_it_with_a_report(tcp: str) -> None:
    """Ctrl-C after some seconds, when enough was heard."""
    command: list[Any] = [
        sys.executable,
        "-m",
        "cmfm_sim.app",
        "conform",
        "--endpoint",
        tcp,
        "--seconds",
        "600",
    ]
    with (
        in_thread(rough_publisher(tcp, [[b"x"]])),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "does NOT follow" in out
