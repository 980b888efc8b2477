"""The life of the service: it ends by itself, with an honest code, and leaves nothing behind, however it went."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import zmq

from cmfm_protocol.frame import FrameHeader, encode_frame
from cmfm_protocol.result import Result, decode_result
from cmfm_protocol.topics import topic
from cmfm_protocol.verdict import Reason, Verdict
from cmfm_worker import service, shelf
from cmfm_worker.desk import Desk
from cmfm_worker.errors import ExitCode, InputError, StartupError
from cmfm_worker.inspecting import LineBench
from cmfm_worker.ring import FilledSlot
from cmfm_worker.service import Flags, Service
from cmfm_worker.settings import Ledger, Metrics, Settings
from cmfm_worker.trigger import Decision

from .made_recipes import ColourAndPlace, frames, saved

OWN_THREADS = {"desk", "intake", "compute", "ledger", "recorder"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A line with one recipe, on an extractor that needs no time."""
    monkeypatch.setattr(shelf, "extractor_of", lambda *_: ColourAndPlace())
    saved(tmp_path / "recipes" / "part")
    names = ("results", "maps", "recovery", "control")
    sockets: dict[str, Any] = {name: f"ipc://{tmp_path}/{name}" for name in names}
    return Settings(
        sockets={**sockets, "frames": [f"ipc://{tmp_path}/frames"]},
        recipes={"folder": tmp_path / "recipes"},
        ledger=Ledger(path=tmp_path / "ledger.sqlite"),
        kept={"folder": tmp_path / "kept"},
        device={"name": "cpu", "warmup_px": 64},
    )


@pytest.fixture(autouse=True)
def stray_signals() -> Iterator[None]:
    """A signal that comes when no service takes it fails the test, and not pytest itself."""
    stray: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: stray.append(number))
    yield
    signal.signal(signal.SIGTERM, before)
    assert stray == []


@contextmanager
def nothing_left(endpoint: str) -> Iterator[None]:
    """Fails where a thread of the line runs on or its sockets are still bound afterwards."""
    before = set(threading.enumerate())
    yield
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert not names & OWN_THREADS
    context = zmq.Context()
    probe = context.socket(zmq.PUB)
    probe.bind(endpoint)
    context.destroy(linger=0)


class Outside:
    """A camera and a subscriber, in a thread of their own while the service has the main thread."""

    def __init__(self, settings: Settings, act: Callable[["Outside"], None]) -> None:
        self.results: list[Result] = []
        self._settings = settings
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, count: int, deadline_ms: float = 20_000.0) -> None:
        """Wait for the worker, then send parts 0, 1, 2 …"""
        assert self._camera.poll(20_000)
        rgb, xyz = (tensor.numpy()[0] for tensor in frames(1))
        for seq in range(count):
            header = FrameHeader("cam", seq, f"p{seq}", time.time_ns(), deadline_ms, "part")
            self._camera.send_multipart(encode_frame(topic("line1", "station1", "frame"), header, rgb, xyz))

    def listen(self, count: int) -> None:
        """Wait for verdicts."""
        missing = count
        while missing:
            assert self._results.poll(20_000)
            parts = self._results.recv_multipart()
            if parts[0] == topic("line1", "station1", "result"):
                self.results.append(decode_result(parts))
                missing -= 1

    def signal(self) -> None:
        """What a supervisor sends."""
        os.kill(os.getpid(), signal.SIGTERM)

    def end(self) -> None:
        """Wait until all has been done."""
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
                self.signal()  # or the service would wait for it for ever
                raise


def test_start_that_fails_leaves_nothing_behind(settings: Settings) -> None:
    """A recipe folder that is not there, found when everything else runs: the error, no thread, no socket."""
    broken = settings.model_copy(
        update={"recipes": settings.recipes.model_copy(update={"folder": Path("/nowhere")})}
    )
    with nothing_left(settings.sockets.results), pytest.raises(InputError, match="nowhere"):
        Service(broken).serve()


@pytest.mark.parametrize("taken", ["metrics", "control", "frames"])
def test_start_without_a_port_leaves_nothing_behind(settings: Settings, taken: str) -> None:
    """A port that another process has is named; what had been opened by then is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if taken == "metrics":
            broken = settings.model_copy(update={"metrics": Metrics(port=port)})
        else:
            wrong = {"control": f"tcp://127.0.0.1:{port}", "frames": ("ipc:///nowhere/" + "x" * 200,)}[taken]
            sockets = settings.sockets.model_copy(update={taken: wrong})
            broken = settings.model_copy(update={"sockets": sockets})
        name = "nowhere" if taken == "frames" else str(port)
        with nothing_left(settings.sockets.results), pytest.raises(StartupError, match=name):
            Service(broken).serve()


def test_second_worker_does_not_take_the_sockets_of_the_first(settings: Settings) -> None:
    """On ipc too, an endpoint in use stops the start."""
    first = Service(settings)

    def act(outside: Outside) -> None:
        outside.send(1)
        second = Service(settings)
        with pytest.raises(StartupError, match="in use"), second._closing:
            second._startup()  # not `serve`: signals are the main thread's
        outside.listen(1)
        outside.signal()

    outside = Outside(settings, act)
    assert first.serve() is ExitCode.OK
    outside.end()


def test_drain_answers_every_accepted_part(settings: Settings) -> None:
    """One signal: what was sent before it has its verdict, and the code is 0."""

    def act(outside: Outside) -> None:
        outside.send(6)
        outside.listen(1)
        outside.signal()
        outside.listen(5)

    with nothing_left(settings.sockets.results):
        outside = Outside(settings, act)
        assert Service(settings).serve() is ExitCode.OK
        outside.end()
    assert [result.seq for result in outside.results] == list(range(6))
    assert all(result.verdict is not Verdict.FAULT for result in outside.results)


def test_signal_during_the_start_ends_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is told to stop while its recipes load ends with 0 and never takes a frame."""
    monkeypatch.setattr(shelf.Shelf, "warm_up", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with nothing_left(settings.sockets.results):
        assert Service(settings).serve() is ExitCode.OK


class HangingBench(LineBench):
    """A device that never answers."""

    gate = threading.Event()

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        self.gate.wait(60)
        return super().inspect(slots, rgb, xyz)


def test_second_signal_ends_a_hanging_computation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs is given up: its parts get their FAULT, and the process ends, with 1."""
    monkeypatch.setattr(service, "LineBench", HangingBench)

    def act(outside: Outside) -> None:
        outside.send(2)
        time.sleep(0.5)
        outside.signal()
        time.sleep(0.5)
        outside.signal()
        outside.listen(2)

    outside = Outside(settings, act)
    started_s = time.monotonic()
    assert Service(settings).serve() is ExitCode.BUG
    assert time.monotonic() - started_s < 20
    outside.end()
    HangingBench.gate.set()
    assert [result.reason for result in outside.results] == [Reason.DRAINING] * 2


def test_line_without_its_desk_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk that fails is a bug of ours that ends the process: nobody is left with a worker that says nothing."""

    def broken(*_: object) -> None:
        raise OSError("a bug")

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(Desk, "_settle", broken)
    with nothing_left(settings.sockets.results), pytest.raises(RuntimeError, match="desk"):
        Service(settings).serve()


def test_only_a_second_signal_forces() -> None:
    """A drain that was asked for over the control socket is not cut short by the supervisor's first signal."""
    flags = Flags()
    flags.request_drain()
    flags.stop()
    assert (flags.drain, flags.force) == (True, False)
    flags.stop()
    assert flags.force
