"""A camera in the test's own hand: parts with the names and recipes that the test gives them."""

import time
from pathlib import Path
from types import TracebackType

from cmfm_client.camera import Camera, CameraOptions
from cmfm_protocol.files.dataset import list_parts, read_part
from cmfm_protocol.wire.frame import FrameHeader, encode_frame


class HandCamera:
    """Sends good parts of the synthetic data set one by one. Use it as a context."""

    def __init__(self, endpoint: str, root: Path) -> None:
        self._camera = Camera(CameraOptions(endpoint))
        self._images = [read_part(files) for files in list_parts(root, "praline", "test")[:2]]
        self.sent: list[tuple[str, int]] = []

    def __enter__(self) -> "HandCamera":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._camera.__exit__(kind, error, trace)

    def wait_for_worker(self) -> None:
        """Until then nobody would hear."""
        self._camera.wait_for_subscriber(60)

    def send(self, part_id: str, recipe: str = "praline", deadline_ms: float = 60_000.0) -> None:
        """One part; its trigger is now."""
        seq = len(self.sent)
        stream = self._camera.stream_uuid
        header = FrameHeader(
            stream, seq, part_id, time.time_ns(), deadline_ms, recipe, clock="realtime", simulated=True
        )
        rgb, xyz = self._images[seq % len(self._images)]
        assert self._camera.send(seq, encode_frame(self._camera.frame_topic, header, rgb, xyz))
        self.sent.append((stream, seq))

    def rest(self, seconds: float) -> None:
        """Wait, with heartbeats."""
        self._camera.rest(seconds)
