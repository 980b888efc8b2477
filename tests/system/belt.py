"""A belt of good parts in front of a line's camera, paced by the line, for tests that teach beside it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.files.dataset import list_parts, read_part
from cmfm_sim.processes import Child

from .conftest import Line

Images = tuple[NDArray[np.uint8], NDArray[np.float32]]

LIMIT_S = 600.0
PERIOD_S = 0.1
UNDER_WAY = 2
"""Parts without a verdict at which the belt waits: a crowded machine must not overload this line."""


def distinct_parts(root: Path, count: int) -> list[Images]:
    """Good parts of the synthetic data set, with noise of its own on each, so that no frame is another's."""
    files = [
        part
        for split in ("train", "validation", "test")
        for part in list_parts(root, "praline", split)
        if not part.label
    ]
    noise = np.random.default_rng(3)
    made = []
    for number in range(count):
        rgb, xyz = read_part(files[number % len(files)])
        jitter = noise.integers(-2, 3, rgb.shape)
        made.append((np.clip(rgb + jitter, 0, 255).astype(np.uint8), xyz))
    return made


class Belt:
    """Sends parts one by one, as fast as they are inspected, and takes the results meanwhile."""

    def __init__(self, line: Line, parts: list[Images]) -> None:
        self._line, self._parts = line, parts
        self._camera = Camera(CameraOptions(line.endpoints.frames))
        self.sent = 0

    def __enter__(self) -> "Belt":
        self._camera.wait_for_subscriber(60)
        return self

    def __exit__(self, *error: Any) -> None:
        self._camera.__exit__(*error)

    def send(self, recipe: str) -> None:
        """Send one part and rest until few are under way."""
        trigger = self._camera.trigger(f"p{self.sent}", recipe=recipe, deadline_ms=60_000.0, simulated=True)
        assert self._camera.publish(trigger, *self._parts[self.sent % len(self._parts)])
        self.sent += 1
        give_up_s = time.monotonic() + LIMIT_S
        while True:
            self._camera.rest(PERIOD_S)
            self._line.listen(0)
            if self.sent - len(self._line.received) <= UNDER_WAY:
                return
            assert time.monotonic() < give_up_s

    def run_until(self, condition: Callable[[], bool], recipe: str, worker: Child) -> None:
        """Send parts until something is true."""
        give_up_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < give_up_s
            worker.require_success()
            self.send(recipe)

    def run_until_end(self, child: Child, recipe: str, worker: Child) -> None:
        """Send parts until a command has ended, which it must with 0."""
        self.run_until(lambda: child.returncode is not None, recipe, worker)
        assert child.returncode == 0, child.output()
