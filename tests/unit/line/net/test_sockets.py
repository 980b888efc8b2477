"""Sockets under conditions of a factory: stalled workers, clients that flood and die."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import zmq

from cmfm_sim.ports import free_ports
from cmfm_worker.line.net.sockets import bind

STALLED = """
import time, zmq
from cmfm_worker.line.net.sockets import subscriber
context = zmq.Context()
camera = context.socket(zmq.XPUB)
camera.setsockopt(zmq.SNDHWM, 4)
port = camera.bind_to_random_port("tcp://127.0.0.1")
worker = subscriber(context, receive_hwm=1, max_bytes=10**9)
worker.setsockopt(zmq.SUBSCRIBE, b"")
worker.connect(f"tcp://127.0.0.1:{port}")
while not camera.poll(10):
    worker.poll(10)
taken = []
for seq in range(40):
    camera.send(bytes([seq]) + bytes(100_000))  # more than a socket's buffers hold
    time.sleep(0.02)  # the worker stands still
for seq in range(40, 100):
    camera.send(bytes([seq]) + bytes(100_000))
    if worker.poll(50):
        taken.append(worker.recv()[0])
assert len(taken) > 20 and taken == sorted(set(taken)), taken
camera.close(0)
worker.close(0)
context.term()
"""


def test_worker_that_was_stopped_goes_on() -> None:
    """A stall with a full queue loses only messages sent meanwhile: the process and later messages are unharmed."""
    ended = subprocess.run(
        [sys.executable, "-c", STALLED], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


ASKED = """
import sys, time, zmq
from cmfm_worker.line.net.sockets import bind
socket = bind(zmq.Context(), zmq.ROUTER, sys.argv[1], send_hwm=100)
print("bound", flush=True)
until_s = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until_s:
    time.sleep(0.05)
    for _ in range(4):
        if socket.poll(0):
            socket.recv_multipart()
"""
ASKING = """
import sys, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.setsockopt(zmq.SNDHWM, 0)
socket.connect(sys.argv[1])
for _ in range(200_000):
    socket.send_multipart([b"", bytes(1000)])
"""


def test_client_that_floods_and_dies_does_not_end_the_worker() -> None:
    """A client sends more requests than the queue holds, hangs and is killed: the worker reads on.

    With ZMTP heartbeats on the socket libzmq aborted the worker (issue 4841).
    """
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with subprocess.Popen(
        [sys.executable, "-c", ASKED, endpoint, "8"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "bound\n"
        for _ in range(2):
            with subprocess.Popen([sys.executable, "-c", ASKING, endpoint]) as client:
                time.sleep(1.2)
                client.send_signal(signal.SIGSTOP)
                time.sleep(0.8)
                client.kill()
            time.sleep(1.2)
        complaint = worker.communicate(timeout=60)[1]
    assert worker.returncode == 0, complaint


def test_client_that_starts_again_under_its_routing_id_is_heard(tmp_path: Path) -> None:
    """Its former connection hangs, as after a pulled cable, and the worker does not know yet."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint = f"ipc://{tmp_path}/control"
    control = bind(context, zmq.ROUTER, endpoint, send_hwm=100)
    clients = [context.socket(zmq.DEALER) for _ in range(2)]
    for number, client in zip((b"1", b"2"), clients, strict=True):
        client.setsockopt(zmq.ROUTING_ID, b"plc")
        client.connect(endpoint)
        client.send(number)
        assert control.poll(5000), number
        control.send_multipart(control.recv_multipart())
        assert client.poll(5000), number
    context.destroy(0)
