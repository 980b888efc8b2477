"""A subscriber that is slow to look at its maps: it misses maps, and nothing else happens to it."""

import subprocess
import sys
from pathlib import Path

READER = """
import random, sys, threading, time, zmq
from cmfm_client import sockets
from cmfm_client.events import Damaged
from cmfm_client.subscriber import ResultSubscriber, SubscriberOptions
sockets.HEARTBEAT_IVL_MS, sockets.HEARTBEAT_TIMEOUT_MS = 50, 100  # so that it takes seconds to go wrong, not minutes
folder, seconds = sys.argv[1], float(sys.argv[2])

def publish():
    socket = zmq.Context.instance().socket(zmq.PUB)
    socket.setsockopt(zmq.SNDHWM, 4)
    socket.bind(f"ipc://{folder}/maps")
    while True:
        socket.send_multipart([b"cmfm/1/line1/station1/map/", b"x" * 400_000])
        time.sleep(0.005)

threading.Thread(target=publish, daemon=True).start()
subscriber = ResultSubscriber(SubscriberOptions(f"ipc://{folder}/results", maps=f"ipc://{folder}/maps"))
until_s, heard = time.monotonic() + seconds, 0
while time.monotonic() < until_s:
    time.sleep(random.uniform(0.05, 0.5))
    heard += sum(isinstance(event, Damaged) for event in subscriber.poll(0))  # what is published is no map
print("heard" if heard else "nothing", flush=True)
import os
os._exit(0)
"""


def test_slow_reader_of_maps_lives(tmp_path: Path) -> None:
    """With heartbeats on that connection libzmq aborted the reader, `cmfm-sim watch` for one, within seconds."""
    command = [sys.executable, "-c", READER, str(tmp_path), "4"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "heard\n"), ended.stderr
