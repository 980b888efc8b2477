"""Net: ZeroMQ sockets with the line's options, CURVE keys, and the queue between threads.

In: [sockets] and [curve] of the settings. Out: bound and connected sockets for intake and verdicts.
The thread "zap" (`zap.py`) checks the keys of clients against the allow-lists (`allow_list.py`).
`wakeable_queue.py` lets one thread wait for sockets and for events of other threads at once.
"""
