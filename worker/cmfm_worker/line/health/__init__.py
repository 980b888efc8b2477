"""Health: how the line's state reaches the outside, and how the process is kept responsive.

In: the account's totals, the turns that each thread completes, settings. Out: HTTP probes and metrics (`http.py`,
`metrics.py`), sd_notify messages (`systemd.py`), log lines (`log.py`).
The HTTP server and the log have threads of their own; everything else runs in the thread that it reports on.
`gc_control.py`, `malloc.py` and `threads.py` tune CPython's collector, glibc's heap and OpenMP.
"""
