"""Logs once for each stream that its numbers are used for other parts again, and why."""

import structlog

from cmfm_worker.line.intake.sequence import MAX_STREAMS, SequenceTracker
from cmfm_worker.line.messages import TriggerKey


class ReuseLog:
    """Names the stream, the number and the endpoints in one error line a stream."""

    def __init__(self, tracker: SequenceTracker) -> None:
        self._tracker = tracker
        self._logged: set[str] = set()
        self._log = structlog.get_logger("intake")

    def reused(self, source: str, key: TriggerKey) -> None:
        """Log that a frame from an endpoint used a number of its stream for another part."""
        if self.jumped(key) or not self._is_first(key.stream_uuid):
            return
        owner = self._tracker.owner(key.stream_uuid)
        if owner != source:
            detail = f"{owner} and {source} send the same stream_uuid"
        else:
            detail = (
                "the camera counts anew under the stream_uuid of before: it must be new at each of its boots"
            )
        stream_uuid, seq = key
        self._log.error(
            "stream_uuid_reused", stream_uuid=stream_uuid, seq=seq, endpoint=source, detail=detail
        )

    def jumped(self, key: TriggerKey) -> bool:
        """Log that a counter has wrapped, if this number shows it. Returns whether it does."""
        bits = self._tracker.wrapped_bits(key)
        if bits is None:
            return False
        if self._is_first(key.stream_uuid):
            detail = (
                f"the camera's counter has {bits} bits and wrapped: numbers are never used twice in a stream"
            )
            self._log.error("seq_wrapped", stream_uuid=key.stream_uuid, seq=key.seq, detail=detail)
        return True

    def _is_first(self, stream_uuid: str) -> bool:
        if stream_uuid in self._logged:
            return False
        if len(self._logged) >= MAX_STREAMS:
            self._logged.clear()
        self._logged.add(stream_uuid)
        return True
