"""The board: what the live page shows, computed once for all browsers.

In: snapshots of the line, counts of the ledger, maps. Out: messages of server-sent events, the same bytes for every
browser, and one picture a part. A task of the event loop makes the messages, at most `refresh_hz` a second; a thread
draws pictures when a browser asks for one. A slow browser has no queue: it gets the newest message when it is ready.
"""
