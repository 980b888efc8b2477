"""A service in this process, with a camera and a subscriber beside it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import zmq
from tests.unit.made.recipes import ColourAndPlace, frames, saved

from cmfm_protocol.wire.frame import FrameHeader, encode_frame
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_protocol.wire.topics import topic
from cmfm_worker.datasets.batches import Images
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line import service
from cmfm_worker.line.service import Ended
from cmfm_worker.line.wiring import Factories
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.records import LedgerSection

OWN_THREADS = {"verdicts", "intake", "copy", "compute", "decide", "ledger", "recorder", "collector", "zap"}

FACTORIES = Factories(inspector_maker=lambda *_: lambda _: Inspector(ColourAndPlace()))
"""An extractor that needs no time and no weights."""


def serve(settings: Settings, **others: Any) -> Ended:
    """Run the line in this thread; `others` are factories beside that of the extractor."""
    return service.serve(settings, replace(FACTORIES, **others))


def line_settings(tmp_path: Path) -> Settings:
    """Settings of a line with one recipe, taught on `ColourAndPlace`."""
    saved(tmp_path / "recipes" / "part")
    names = ("results", "maps", "recovery", "control")
    sockets: dict[str, Any] = {name: f"ipc://{tmp_path}/{name}" for name in names}
    return Settings(
        sockets={**sockets, "frames": [f"ipc://{tmp_path}/frames"]},
        recipes={"folder": tmp_path / "recipes"},
        ledger=LedgerSection(path=tmp_path / "ledger.sqlite"),
        kept={"folder": tmp_path / "kept"},
        intake={"repeated": "warn"},  # the camera of these tests has one picture
        device={"name": "cpu", "warmup_px": 64},
    )


@contextmanager
def nothing_left(endpoint: str) -> Iterator[None]:
    """Fail if a thread of the line is still alive afterwards or its sockets are still bound."""
    before = set(threading.enumerate())
    yield
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert not names & OWN_THREADS
    context = zmq.Context()
    probe = context.socket(zmq.PUB)
    probe.bind(endpoint)
    context.destroy(linger=0)


class Outside:
    """A camera and a subscriber in a thread of their own, while the service has the main thread."""

    def __init__(self, settings: Settings, act: Callable[["Outside"], None]) -> None:
        self.results: list[Result] = []
        self.name = "part"
        """The recipe that the frames name."""
        self._settings = settings
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, count: int, deadline_ms: float = 20_000.0, first: int = 0) -> None:
        """Send parts `first`, `first` + 1 …; the part 0 waits for the worker."""
        rgb, xyz = (tensor.numpy()[0] for tensor in frames(1))
        self.show([(rgb, xyz)] * count, deadline_ms, first)

    def show(self, shown: Sequence[Images], deadline_ms: float = 20_000.0, first: int = 0) -> None:
        """Send a part for each pair of RGB and XYZ."""
        if not first:
            assert self._camera.poll(20_000)
        for seq, (rgb, xyz) in enumerate(shown, start=first):
            header = FrameHeader("cam", seq, f"p{seq}", time.time_ns(), deadline_ms, self.name)
            self._camera.send_multipart(encode_frame(topic("line1", "station1", "frame"), header, rgb, xyz))

    def listen(self, count: int) -> None:
        """Wait for so many verdicts."""
        missing = count
        while missing:
            assert self._results.poll(20_000)
            message = self._results.recv_multipart()
            if message[0] == topic("line1", "station1", "result"):
                self.results.append(decode_result(message))
                missing -= 1

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send this process a signal, as a supervisor does."""
        os.kill(os.getpid(), number)

    def end(self) -> None:
        """Wait until `act` has returned."""
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.XPUB) as camera, context.socket(zmq.SUB) as results:
            self._camera, self._results = camera, results
            camera.bind(self._settings.sockets.frames[0])
            camera.setsockopt(zmq.LINGER, 0)
            for kind in ("result", "state"):
                results.setsockopt(zmq.SUBSCRIBE, topic("line1", "station1", kind))
            results.connect(self._settings.sockets.results)
            try:
                assert results.poll(20_000)  # a heartbeat: from here on no verdict is missed
                self._act(self)
            except BaseException:
                self.signal()  # otherwise the service would wait for ever
                raise
