"""OPC UA server of the gateway: the Machine Vision companion model (OPC 40100-1) with users and certificates.

In: stored results and the view of the line from `Gateway`, calls of OPC UA clients. Out: variables, ResultReady and
state events, replies to methods. Everything runs in the gateway's asyncio loop. `model` holds the node types, `serving`
the guarded server, the other modules the rules.
"""
