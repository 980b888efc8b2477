"""Chaos: runs a whole line as processes, disturbs it by a seeded plan, and checks its account from outside.

In: a plan (seed), a line's settings and parts. Out: a report with the account, the dead peers and the problems.
One thread, beside those of the proxies; camera, worker and subscriber are processes.
"""
