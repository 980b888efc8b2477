"""The life of the service: it ends by itself, with an honest exit code, and leaves nothing behind."""

import gc
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from tests.unit.made.recipes import ColourAndPlace, saved
from tests.unit.made.service import FACTORIES, Outside, line_settings, nothing_left, serve

from cmfm_protocol.clock import SystemClock
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.errors import ExitCode, InputError, StartupError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.builders import STOP_LIMIT_S
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.health.gc_control import THRESHOLDS
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision
from cmfm_worker.line.service import Flags
from cmfm_worker.line.wiring import open_line
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.health import MetricsSection


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A line with one recipe, on an extractor that needs no time."""
    return line_settings(tmp_path)


@pytest.fixture(autouse=True)
def stray_signals() -> Iterator[None]:
    """Let a signal that no service takes fail the test instead of ending pytest."""
    stray: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: stray.append(number))
    yield
    signal.signal(signal.SIGTERM, before)
    assert stray == []


def test_start_that_fails_leaves_nothing_behind(settings: Settings) -> None:
    """If the recipe folder is missing, the error names it, and no thread or socket stays."""
    broken = settings.model_copy(
        update={"recipes": settings.recipes.model_copy(update={"folder": Path("/nowhere")})}
    )
    with nothing_left(settings.sockets.results), pytest.raises(InputError, match="nowhere"):
        serve(broken)


@pytest.mark.parametrize("taken", ["metrics", "control", "frames"])
def test_start_without_a_port_leaves_nothing_behind(settings: Settings, taken: str) -> None:
    """A port that another process has is named; whatever had been opened by then is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if taken == "metrics":
            broken = settings.model_copy(update={"metrics": MetricsSection(port=port)})
        else:
            wrong = {"control": f"tcp://127.0.0.1:{port}", "frames": ("ipc:///nowhere/" + "x" * 200,)}[taken]
            sockets = settings.sockets.model_copy(update={taken: wrong})
            broken = settings.model_copy(update={"sockets": sockets})
        name = "nowhere" if taken == "frames" else str(port)
        with nothing_left(settings.sockets.results), pytest.raises(StartupError, match=name):
            serve(broken)


def read_boots(settings: Settings) -> list[tuple[str, ...]]:
    assert settings.ledger.path is not None
    with closing(sqlite3.connect(settings.ledger.path)) as connection:
        return connection.execute("SELECT * FROM boots").fetchall()


def test_second_worker_does_not_take_the_sockets_of_the_first(settings: Settings) -> None:
    """On ipc too, an endpoint in use stops the start, and the ledger of the first stays as it was."""
    boots: list[list[tuple[str, ...]]] = []

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        boots.append(read_boots(settings))
        with pytest.raises(StartupError, match="in use"), ExitStack() as second:
            open_line(settings, second, factories=FACTORIES)
        boots.append(read_boots(settings))
        outside.send(1, first=1)
        outside.listen(1)
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    assert len(boots[0]) == 1
    assert boots[0] == boots[1]


def test_second_worker_does_not_take_the_ledger_of_the_first(settings: Settings, tmp_path: Path) -> None:
    """With sockets of its own it would answer every trigger again; it ends and says who has the ledger."""
    own = {name: f"ipc://{tmp_path}/second-{name}" for name in ("results", "maps", "recovery", "control")}
    second = settings.model_copy(update={"sockets": settings.sockets.model_copy(update=own)})

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        with pytest.raises(StartupError, match=f"pid {os.getpid()} "), ExitStack() as stack:
            open_line(second, stack, factories=FACTORIES)
        outside.send(1, first=1)
        outside.listen(1)
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()


def test_camera_of_a_part_is_in_its_result_and_its_row(settings: Settings) -> None:
    """The name that line.toml gives it, or the one by its place in the list."""

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    assert [result.camera for result in outside.results] == ["camera1"]
    assert settings.ledger.path is not None
    with closing(sqlite3.connect(settings.ledger.path)) as connection:
        assert connection.execute("SELECT camera FROM triggers").fetchall() == [("camera1",)]


class SlowInspector(LineInspector):
    """Takes long enough that parts are still waiting when the intake has ended."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        if slots[0].index >= 0:  # not the warm-up
            time.sleep(0.3)
        return super().inspect(slots, rgb, xyz)


@pytest.mark.parametrize("overlapped", [True, False])
def test_drain_decides_every_accepted_part(settings: Settings, overlapped: bool) -> None:
    """After one signal the parts that were sent before it have their verdicts, and the code is 0."""
    batch = settings.batch.model_copy(update={"max_batch": 1, "overlapped": overlapped})

    def act(outside: Outside) -> None:
        outside.send(6)
        outside.listen(1)
        outside.signal()
        outside.listen(5)

    with nothing_left(settings.sockets.results):
        outside = Outside(settings, act)
        slow = settings.model_copy(update={"batch": batch})
        assert serve(slow, batch_inspector=SlowInspector).code is ExitCode.OK
        outside.end()
    assert [result.seq for result in outside.results] == list(range(6))
    assert all(result.verdict is not Verdict.FAULT for result in outside.results)


class SignallingExtractor(ColourAndPlace):
    """Sends this process SIGTERM when it is used."""

    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        os.kill(os.getpid(), signal.SIGTERM)
        return super().__call__(frames)


def test_signal_during_the_start_ends_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is told to stop while its recipes warm up ends with 0 and never says that it is ready."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        with nothing_left(settings.sockets.results):
            inspector = Inspector(SignallingExtractor())
            assert serve(settings, inspector_maker=lambda *_: lambda _: inspector).code is ExitCode.OK
        systemd.setblocking(False)
        messages = [systemd.recv(4096).decode() for _ in range(2)]
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)
    assert messages[0].startswith("STATUS=starting")
    assert messages[1].startswith("STOPPING=1")


class HangingInspector(LineInspector):
    """Hangs, as a device does, until `released`; the warm-up is computed."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        if slots[0].index >= 0:  # not the warm-up
            self.released.wait(60)
        return super().inspect(slots, rgb, xyz)


def test_second_signal_ends_a_hanging_computation(settings: Settings) -> None:
    """The computation is given up: its parts get their FAULT, and the process ends with 1."""
    inspector, forced_s = HangingInspector(), []

    def act(outside: Outside) -> None:
        outside.send(2)
        time.sleep(0.5)
        outside.signal()
        time.sleep(0.5)
        outside.signal()
        forced_s.append(time.monotonic())
        outside.listen(2)

    outside = Outside(settings, act)
    ended = serve(settings, batch_inspector=lambda: inspector)
    assert (ended.code, ended.left_computing) == (ExitCode.BUG, True)
    assert time.monotonic() - forced_s[0] < 0.8 * STOP_LIMIT_S  # the computation is not waited for
    outside.end()
    inspector.released.set()
    assert [result.reason for result in outside.results] == [Reason.DRAINING] * 2


def test_hung_device_ends_the_line_after_its_faults(settings: Settings) -> None:
    """If a computation never returns, every open part becomes a FAULT that says so, and the line ends with 5."""
    inspector = HangingInspector()
    device = settings.device.model_copy(update={"hang_limit_s": 4.0})

    def act(outside: Outside) -> None:
        outside.send(6)  # more than one batch: some hang, some wait
        outside.listen(6)

    outside = Outside(settings, act)
    ended = serve(settings.model_copy(update={"device": device}), batch_inspector=lambda: inspector)
    outside.end()
    assert (ended.code, ended.left_computing) == (ExitCode.HUNG_DEVICE, True)
    assert "4 s" in ended.message
    inspector.released.set()
    assert sorted(result.seq for result in outside.results) == list(range(6))
    assert {result.reason for result in outside.results} == {Reason.WORKER_ERROR}
    assert all("hangs" in result.detail for result in outside.results)


class LosingInspector(LineInspector):
    """Loses the device at the first part; the warm-up is computed."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        if slots[0].index >= 0:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return super().inspect(slots, rgb, xyz)


def test_lost_device_ends_the_line_after_its_faults(settings: Settings) -> None:
    """A part whose device is lost becomes a FAULT, the line ends with 4, and no computation is left behind."""

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)

    with nothing_left(settings.sockets.results):
        outside = Outside(settings, act)
        ended = serve(settings, batch_inspector=LosingInspector)
        outside.end()
    assert (ended.code, ended.left_computing) == (ExitCode.LOST_DEVICE, False)
    assert "unspecified launch failure" in ended.message
    assert [result.reason for result in outside.results] == [Reason.WORKER_ERROR]


class ThreadCountingInspector(LineInspector):
    """Notes how many threads a computation uses."""

    threads: ClassVar[set[int]] = set()

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        self.threads.add(torch.get_num_threads())
        return super().inspect(slots, rgb, xyz)


def test_only_the_lane_computes_with_several_threads(settings: Settings) -> None:
    """`device.threads` counts for inspecting; all other threads of the process have one, and afterwards as before."""
    before, others = torch.get_num_threads(), []

    def act(outside: Outside) -> None:
        outside.send(2)
        outside.listen(2)
        others.append(torch.get_num_threads())
        outside.signal()

    outside = Outside(settings, act)
    device = settings.device.model_copy(update={"threads": 3})
    ended = serve(settings.model_copy(update={"device": device}), batch_inspector=ThreadCountingInspector)
    assert ended.code is ExitCode.OK
    outside.end()
    assert (ThreadCountingInspector.threads, others, torch.get_num_threads()) == ({3}, [1], before)


class BrokenClock(SystemClock):
    """A clock that the verdict thread cannot read."""

    def monotonic_ns(self) -> int:
        if threading.current_thread().name == "verdicts":
            raise OSError("a bug")
        return super().monotonic_ns()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_line_without_its_verdict_thread_ends(settings: Settings) -> None:
    """If the verdict thread fails, the process ends: a worker without verdicts would look alive."""
    with nothing_left(settings.sockets.results), pytest.raises(RuntimeError, match="verdicts thread failed"):
        serve(settings, clock=BrokenClock())


def test_only_a_second_signal_forces() -> None:
    """A drain that was asked for over the control socket is not cut short by the supervisor's first signal."""
    flags = Flags()
    flags.request_drain()
    flags.on_signal(signal.SIGTERM, None)
    assert (flags.drain, flags.force) == (True, False)
    flags.on_signal(signal.SIGTERM, None)
    assert flags.force


def test_running_service_has_frozen_what_was_loaded(settings: Settings) -> None:
    """While it runs, loaded objects are frozen and collections are rare; afterwards the collector is as before."""
    before = gc.get_freeze_count(), gc.get_threshold()
    seen: list[tuple[int, tuple[int, int, int]]] = []

    def act(outside: Outside) -> None:
        outside.send(2)
        outside.listen(2)
        seen.append((gc.get_freeze_count(), gc.get_threshold()))
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    ((frozen, thresholds),) = seen
    assert frozen > 50_000  # torch alone is more
    assert thresholds == THRESHOLDS
    assert (gc.get_freeze_count(), gc.get_threshold()) == before


def test_hang_up_loads_the_recipes_again(settings: Settings) -> None:
    """After SIGHUP parts are decided by the new model."""
    shas: list[str] = []

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        folder = settings.recipes.folder
        shutil.rmtree(folder / "part")
        shas.append(saved(folder / "part", seed=1).model_sha)
        outside.signal(signal.SIGHUP)
        until_s = time.monotonic() + 20
        while outside.results[-1].model_sha != shas[0]:
            assert time.monotonic() < until_s
            outside.send(1, first=len(outside.results))
            outside.listen(1)
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    assert outside.results[0].model_sha != shas[0]
