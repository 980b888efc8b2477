"""Sockets under conditions that a line meets and a desk does not."""

import subprocess
import sys

STALLED = """
import time, zmq
from cmfm_worker.sockets import subscriber
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
    """A stall with a full queue costs what was sent meanwhile, and neither the process nor what comes after it."""
    ended = subprocess.run(
        [sys.executable, "-c", STALLED], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
