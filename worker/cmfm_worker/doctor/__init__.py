"""`cmfm-worker doctor`: looks at everything that a shift needs, and says what is good and what to do.

In: `line.toml`, if given `gateway.toml` and `hmi.toml`, the machine and a line that may be running. Out: findings, one
line each, and on request a zip for support. Everything runs in the main thread. A running line is asked for its state
and is neither listened to nor computed beside. `examination` names the checks in order; each has a file of its own.
"""
