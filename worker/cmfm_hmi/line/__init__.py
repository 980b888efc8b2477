"""The line as it is now: newest results, maps, worker state.

In: the worker's results, states and maps over ZeroMQ, in a thread of its own (`feed`). Out: immutable snapshots, and a
wake-up for the event loop when there is a newer one (`live_line`). Nothing here waits for the worker, and the worker
never waits for the page.
"""
