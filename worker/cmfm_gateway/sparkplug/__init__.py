"""Sparkplug B 3.0: the line as an edge node, with births, deaths and data by exception.

In: numbered results of the gateway's store, the newest line view, NCMD and STATE messages. Out: protobuf payloads on
`spBv1.0/<group>/…`. `payload`, `metrics` and `node` are pure; `adapter` has the connection, in the gateway's loop.
"""
