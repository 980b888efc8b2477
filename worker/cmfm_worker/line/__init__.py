"""The line: frames of cameras in, one verdict a trigger out.

A part passes through `intake` (thread "intake"), `compute` (the main thread and the lane's "copy", "compute",
"decide"), `verdicts` (thread "verdicts") and `records` (threads "recorder", "ledger", "archive"), as the values in
`messages.py`. `net` has the sockets, `health` the probes. `wiring.open_line` builds a line and `service.serve` runs it.
`replay.py` inspects an archived part again.
"""
