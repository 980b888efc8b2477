"""Counts the triggers of each camera, for PLCs that announce a part without a count of their own. Pure."""

from dataclasses import dataclass

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import WorkerState


@dataclass(slots=True)
class _Count:
    stream_uuid: str = ""
    next_seq: int = 0


class TriggerCounts:
    """The number that the next trigger of each camera has, as far as the gateway can know.

    It is right if every trigger of the camera is announced through this gateway, or if no part is under way. A PLC that
    counts its photo-eye gives the number itself.
    """

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}

    def saw_result(self, result: Result) -> None:
        """Note a result of a camera's present stream."""
        if result.camera:
            self._of(result.camera, result.stream_uuid).next_seq = max(
                self._of(result.camera, result.stream_uuid).next_seq, result.seq + 1
            )

    def saw_state(self, state: WorkerState) -> None:
        """Note the cameras' present streams: a new one counts from 0."""
        for source in state.sources:
            if source.name and source.stream_uuid:
                self._of(source.name, source.stream_uuid)

    def announced(self, camera: str, seq: int) -> None:
        """Note a trigger that was announced."""
        count = self._counts.setdefault(camera, _Count())
        count.next_seq = max(count.next_seq, seq + 1)

    def next_seq(self, camera: str) -> int:
        """Return the number of the camera's next trigger."""
        return self._counts.get(camera, _Count()).next_seq

    def stream_of(self, camera: str) -> str:
        """Return the camera's present stream; empty if it has not been heard."""
        return self._counts[camera].stream_uuid if camera in self._counts else ""

    def _of(self, camera: str, stream_uuid: str) -> _Count:
        count = self._counts.setdefault(camera, _Count(stream_uuid))
        if count.stream_uuid != stream_uuid:
            count.next_seq = (
                0 if count.stream_uuid else count.next_seq
            )  # announced before its stream was heard
            count.stream_uuid = stream_uuid
        return count
