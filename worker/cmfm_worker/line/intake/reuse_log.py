"""Logs once for each stream that its numbers are used for other parts again, and why."""

import structlog

from cmfm_worker.line.intake.camera_names import CameraNames
from cmfm_worker.line.intake.sequence import MAX_STREAMS, SequenceTracker
from cmfm_worker.line.messages import TriggerKey


class ReuseLog:
    """Names the stream, the number and the cameras in one error line a stream."""

    def __init__(self, tracker: SequenceTracker, cameras: CameraNames) -> None:
        self._tracker = tracker
        self._cameras = cameras
        self._logged: set[str] = set()
        self._log = structlog.get_logger("intake")

    def reused(self, source: str, key: TriggerKey) -> str:
        """Log that a frame from an endpoint used a number for another part. Returns the detail of the frame's FAULT."""
        stream_uuid, seq = key
        owner = self._tracker.owner(stream_uuid)
        if owner not in ("", source):
            here, there = self._cameras.name(source), self._cameras.name(owner)
            detail = (
                f"{there} and {here} send the same stream_uuid: two cameras with one, or exchanged cables"
            )
            found = f"stream {stream_uuid[:64]} is that of {there[:64]}, but came from {here[:64]}"
        else:
            detail = (
                "the camera counts anew under the stream_uuid of before: it must be new at each of its boots"
            )
            found = f"seq {seq} of stream {stream_uuid[:100]} was used for another part before"
        if not self.jumped(key) and self._is_first(stream_uuid):
            self._log.error(
                "stream_uuid_reused", stream_uuid=stream_uuid, seq=seq, endpoint=source, detail=detail
            )
        return found

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
