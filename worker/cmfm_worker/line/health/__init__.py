"""Health: how the line's state reaches the outside, and how the process is kept responsive.

In: the account's totals, the turns that each thread completes, settings. Out: what probes, metrics and sd_notify
messages say (`reporter.py`, `metrics.py`); `cmfm_service` serves and sends them, and writes the log.
HTTP probes and the log run in threads of their own; watchdog and garbage collection run in the loop's thread.
`gc_control.py`, `malloc.py` and `threads.py` tune CPython's collector, glibc's heap and OpenMP.
"""
