"""Reports that a camera has sent something, without an event for each message of a fast line."""

from collections.abc import Callable
from typing import Final

from cmfm_protocol.clock import NS_PER_MS
from cmfm_worker.line.messages import SourceSeen

SEEN_EVERY_NS: Final = 100 * NS_PER_MS
"""Frames, and other messages, of one stream are each reported at most this often."""


class SignsOfLife:
    """Posts `SourceSeen` for frames, triggers and heartbeats: a new stream at once, else every `SEEN_EVERY_NS`."""

    def __init__(self, post: Callable[[SourceSeen], None]) -> None:
        self._post = post
        self._seen: dict[tuple[str, bool], tuple[str, int]] = {}  # source, frame -> stream, CLOCK_MONOTONIC

    def report(self, source: str, stream_uuid: str, now_ns: int, *, frame: bool = False) -> None:
        """Record a readable message of a stream from a camera's endpoint; `frame` for a frame."""
        known_uuid, seen_ns = self._seen.get((source, frame), ("", 0))
        if stream_uuid != known_uuid or now_ns - seen_ns >= SEEN_EVERY_NS:
            self._seen[source, frame] = (stream_uuid, now_ns)
            self._post(SourceSeen(source, stream_uuid, frame))
