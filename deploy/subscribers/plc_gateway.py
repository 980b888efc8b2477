"""Verdicts to a reject output. Fail-safe: only a PASS in time opens the gate; silence closes the line."""

import sys

import msgpack
import zmq

RESULTS = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5556"
TOPIC = sys.argv[2].encode() if len(sys.argv) > 2 else b"cmfm/1/line1/station1/"
socket = zmq.Context().socket(zmq.SUB)
socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
socket.setsockopt(zmq.RCVTIMEO, 2000)  # state heartbeats come every 500 ms: 2 s of silence means no worker
socket.connect(RESULTS)
while True:
    try:
        topic, payload = socket.recv_multipart()[:2]
    except zmq.Again:
        print("NO WORKER: stop the line", flush=True)
        continue
    if topic.endswith(b"/result/"):
        result = msgpack.unpackb(payload)
        reject = result["verdict"] != "PASS"  # FAIL, UNDECIDED, FAULT and anything unknown are rejected
        print(result["seq"], result["part_id"], "REJECT" if reject else "PASS", result["reason"], flush=True)
