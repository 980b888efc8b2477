"""Intake: every message of the cameras becomes a frame in the ring, a FAULT with its reason, or is only counted.

In: ZeroMQ messages of the cameras, and the line's own count of triggers. Out: filled slots in the ring for the loop,
and events for the verdict book. All of it runs on the thread `intake` (`receiver`). `admission` decides what a message
means; `sequence` and `stream` decide what its number means, without clock or I/O. The loop's thread shares the ring.
"""
