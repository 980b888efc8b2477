"""Verdicts to a reject output: plc_gateway.py [ENDPOINT [TOPIC [WORKER.key OWN.key_secret]]], the last two for CURVE.
Fail-safe: only a PASS lets a part through; silence of the worker stops the line."""

import sys

from cmfm_client import ClientKeys, Received, ResultSubscriber, Silence, SubscriberOptions

given = dict(enumerate(sys.argv))
options = SubscriberOptions(
    results=given.get(1, "tcp://127.0.0.1:5556"),
    topics=given.get(2, "cmfm/1/line1/station1/").encode(),
    keys=ClientKeys.read(own=given[4], server=given[3])
    if 4 in given
    else None,  # made with `cmfm-worker keys new`
    silence_s=2.0,  # heartbeats come every 500 ms: 2 s of silence means no worker
)
with ResultSubscriber(options) as subscriber:
    for event in subscriber:
        if isinstance(event, Received):
            result = event.result
            output = "PASS" if result.verdict == "PASS" else "REJECT"
            print(result.seq, result.part_id, output, result.reason, flush=True)
        elif isinstance(event, Silence):
            print("NO WORKER: stop the line", flush=True)
