"""A camera that a test drives part by part, with the names and recipes that the test gives them."""

from pathlib import Path
from types import TracebackType

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.files.dataset import list_parts, read_part


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
        """Wait until the worker has subscribed."""
        self._camera.wait_for_subscriber(60)

    def send(self, part_id: str, recipe: str = "praline", deadline_ms: float = 60_000.0) -> None:
        """Send one part, triggered now."""
        trigger = self._camera.trigger(
            part_id, recipe=recipe, deadline_ms=deadline_ms, simulated=True, announce=False
        )
        assert self._camera.publish(trigger, *self._images[trigger.seq % len(self._images)])
        self.sent.append((trigger.stream_uuid, trigger.seq))

    def rest(self, seconds: float) -> None:
        """Wait, with heartbeats."""
        self._camera.rest(seconds)
