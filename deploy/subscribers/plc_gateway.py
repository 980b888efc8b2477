"""Verdicts to a reject output: plc_gateway.py [ENDPOINT [TOPIC [WORKER.key OWN.key_secret]]], the last two for CURVE.
Fail-safe: only a PASS in time opens the gate; silence closes the line."""

import sys

import msgpack
import zmq.auth

given = dict(enumerate(sys.argv))
socket = zmq.Context().socket(zmq.SUB)
socket.setsockopt(zmq.SUBSCRIBE, given.get(2, "cmfm/1/line1/station1/").encode())
socket.setsockopt(zmq.RCVTIMEO, 2000)  # state heartbeats come every 500 ms: 2 s of silence means no worker
if 4 in given:  # keys made with `cmfm-worker keys new`
    socket.curve_serverkey, _ = zmq.auth.load_certificate(given[3])
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(given[4])
socket.connect(given.get(1, "tcp://127.0.0.1:5556"))
while True:
    try:
        topic, payload = socket.recv_multipart()[:2]
        if topic.endswith(b"/result/"):
            result = msgpack.unpackb(payload)
            gate = "PASS" if result["verdict"] == "PASS" else "REJECT"  # also what is unknown is rejected
            print(result["seq"], result["part_id"], gate, result["reason"], flush=True)
    except zmq.Again:
        print("NO WORKER: stop the line", flush=True)
