"""Verdicts: every trigger gets exactly one, at the latest when its deadline passes.

In: events of intake and compute (`line.messages`), requests on the control and recovery sockets.
Out: results, maps and heartbeats on the wire, journal notes, evidence for the recorder, totals.
`verdict_book` holds the rules and does no I/O; `verdict_thread` runs it. Thread: "verdicts".
"""
