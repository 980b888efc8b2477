"""Camera sockets: a camera is alive as long as it answers, however far the reader is behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from cmfm_protocol.wire.topics import topic
from cmfm_worker.line.intake.camera_sockets import CameraSockets
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.settings.sections.network import IntakeSection

TOPIC = topic("line1", "station1", "frame")

CAMERA = """
import sys, time, zmq
socket = zmq.Context().socket(zmq.XPUB)
socket.setsockopt(zmq.XPUB_NODROP, 1)
socket.setsockopt(zmq.SNDHWM, 4)
socket.bind(sys.argv[1])
print("bound", flush=True)
while True:
    try:
        socket.send_multipart([sys.argv[2].encode(), b"x" * 400_000], zmq.NOBLOCK)
    except zmq.Again:
        pass
    time.sleep(0.005)
"""

READER = """
import random, sys, time, zmq
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.settings.sections.network import IntakeSection
from cmfm_worker.line.intake.camera_sockets import CameraSockets
source = CameraSockets(
    zmq.Context(), sys.argv[1], IntakeSection(receive_hwm=8, heartbeat_ms=50), [sys.argv[2].encode()], Keys(), 10**6
)
until_s, went_down = time.monotonic() + float(sys.argv[3]), 0
while time.monotonic() < until_s:
    time.sleep(random.uniform(0.05, 0.4))
    for _ in range(random.randrange(1, 20)):
        if not source.socket.poll(0):
            break
        source.socket.recv_multipart()
    went_down += sum(not alive for alive in source.changes())
print(went_down, source.alive)
"""


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A camera process that sends as fast as it can."""
    endpoint = f"ipc://{tmp_path}/frames"
    with subprocess.Popen(
        [sys.executable, "-c", CAMERA, endpoint, TOPIC.decode()], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "bound\n"
        yield process, endpoint
        process.kill()


def test_camera_is_not_lost_while_the_reader_is_behind(camera: tuple[subprocess.Popen[str], str]) -> None:
    """With a full queue and a reader that stalls, the camera counts as alive and the reading process does not abort.

    With heartbeats on the frames' own connection libzmq gave the camera up and aborted the reader within seconds.
    """
    _, endpoint = camera
    command = [sys.executable, "-c", READER, endpoint, TOPIC.decode(), "4"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "0 True\n"), ended.stderr


def test_worker_that_was_stopped_goes_on(camera: tuple[subprocess.Popen[str], str]) -> None:
    """It finds its queue full and its connections broken, and reads on (SIGSTOP, SIGCONT)."""
    command = [sys.executable, "-c", READER, camera[1], TOPIC.decode(), "6"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        time.sleep(1.5)
        for _ in range(2):
            reader.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            reader.send_signal(signal.SIGCONT)
            time.sleep(0.7)
        said, complaint = reader.communicate(timeout=60)
    assert reader.returncode == 0, complaint
    assert said.endswith("True\n")


def wait_for(sockets: CameraSockets, *, alive: bool, limit_s: float) -> None:
    """Read as the intake does until the camera is alive or not."""
    until_s = time.monotonic() + limit_s
    while sockets.alive is not alive:
        assert time.monotonic() < until_s
        if sockets.socket.poll(10):
            sockets.socket.recv_multipart()
        list(sockets.changes())


@pytest.fixture
def sockets(camera: tuple[subprocess.Popen[str], str]) -> Iterator[CameraSockets]:
    """The sockets of the camera, after it came up."""
    context = zmq.Context()
    watched = CameraSockets(context, camera[1], IntakeSection(heartbeat_ms=100), [TOPIC], Keys(), 10**6)
    wait_for(watched, alive=True, limit_s=20)
    yield watched
    watched.close()
    context.term()


def test_killed_camera_goes_down(camera: tuple[subprocess.Popen[str], str], sockets: CameraSockets) -> None:
    """The connections of a killed camera close."""
    camera[0].kill()
    wait_for(sockets, alive=False, limit_s=20)


def test_stopped_camera_goes_down_and_comes_back(
    camera: tuple[subprocess.Popen[str], str], sockets: CameraSockets
) -> None:
    """A camera that hangs misses its heartbeats. When it goes on, its frames arrive again."""
    camera[0].send_signal(signal.SIGSTOP)
    wait_for(sockets, alive=False, limit_s=20)
    while sockets.socket.poll(200):  # what was on the way
        sockets.socket.recv_multipart()
    camera[0].send_signal(signal.SIGCONT)
    wait_for(sockets, alive=True, limit_s=20)
    assert sockets.socket.poll(20_000)
    assert bytes(sockets.socket.recv_multipart()[0]) == TOPIC
