"""The life of the service: it ends by itself, with an honest code, and leaves nothing behind, however it went."""

import gc
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from tests.unit.made.recipes import saved
from tests.unit.made.service import Outside, line_settings, nothing_left

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.errors import ExitCode, HungDeviceError, InputError, StartupError
from cmfm_worker.line import wiring as assembly
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.warm_up import WarmUp
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision
from cmfm_worker.line.service import Flags, Service
from cmfm_worker.line.verdicts.verdict_thread import VerdictThread
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.health import MetricsSection


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A line with one recipe, on an extractor that needs no time."""
    return line_settings(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def stray_signals() -> Iterator[None]:
    """A signal that comes when no service takes it fails the test, and not pytest itself."""
    stray: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: stray.append(number))
    yield
    signal.signal(signal.SIGTERM, before)
    assert stray == []


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
            broken = settings.model_copy(update={"metrics": MetricsSection(port=port)})
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
        with pytest.raises(StartupError, match="in use"), second._parts.closing:
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
    monkeypatch.setattr(WarmUp, "beside", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with nothing_left(settings.sockets.results):
        assert Service(settings).serve() is ExitCode.OK


class HangingBench(LineInspector):
    """A device that never answers."""

    gate = threading.Event()

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        if slots[0].index >= 0:  # not the warm-up
            self.gate.wait(60)
        return super().inspect(slots, rgb, xyz)


def test_second_signal_ends_a_hanging_computation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs is given up: its parts get their FAULT, and the process ends, with 1."""
    monkeypatch.setattr(assembly, "LineInspector", HangingBench)

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
    HangingBench.gate = threading.Event()
    assert [result.reason for result in outside.results] == [Reason.DRAINING] * 2


def test_hung_device_ends_the_line_after_its_faults(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computation that never returns is found out: everything open is a FAULT that says so, and the line ends."""
    monkeypatch.setattr(assembly, "LineInspector", HangingBench)
    device = settings.device.model_copy(update={"hang_limit_s": 4.0})

    def act(outside: Outside) -> None:
        outside.send(6)  # more than one batch: some hang, some wait
        outside.listen(6)

    outside = Outside(settings, act)
    hung = Service(settings.model_copy(update={"device": device}))
    with pytest.raises(HungDeviceError, match="4 s"):
        hung.serve()
    outside.end()
    assert hung.left_computing
    HangingBench.gate.set()
    HangingBench.gate = threading.Event()
    assert sorted(result.seq for result in outside.results) == list(range(6))
    assert {result.reason for result in outside.results} == {Reason.WORKER_ERROR}
    assert all("hangs" in result.detail for result in outside.results)


class ThreadCountingBench(LineInspector):
    """Notes over how many threads a computation is spread."""

    threads: ClassVar[set[int]] = set()

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        self.threads.add(torch.get_num_threads())
        return super().inspect(slots, rgb, xyz)


def test_threads_of_a_computation_are_the_lanes_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`device.threads` is for inspecting; whatever else the process does has one, and afterwards what it had."""
    monkeypatch.setattr(assembly, "LineInspector", ThreadCountingBench)
    before, others = torch.get_num_threads(), []

    def act(outside: Outside) -> None:
        outside.send(2)
        outside.listen(2)
        others.append(torch.get_num_threads())
        outside.signal()

    outside = Outside(settings, act)
    spread = settings.device.model_copy(update={"threads": 3})
    assert Service(settings.model_copy(update={"device": spread})).serve() is ExitCode.OK
    outside.end()
    assert (ThreadCountingBench.threads, others, torch.get_num_threads()) == ({3}, [1], before)


def test_line_without_its_verdict_thread_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict thread that fails is a bug and ends the process: no worker runs on without giving verdicts."""

    def broken(*_: object) -> None:
        raise OSError("a bug")

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(VerdictThread, "_handle_events", broken)
    with nothing_left(settings.sockets.results), pytest.raises(RuntimeError, match="verdict"):
        Service(settings).serve()


def test_only_a_second_signal_forces() -> None:
    """A drain that was asked for over the control socket is not cut short by the supervisor's first signal."""
    flags = Flags()
    flags.request_drain()
    flags.stop()
    assert (flags.drain, flags.force) == (True, False)
    flags.stop()
    assert flags.force


def test_steady_state_has_a_frozen_heap(settings: Settings) -> None:
    """A running service has frozen what was loaded, measures the collector, and collects again in idle turns;
    afterwards the process's collector is as before."""
    before = gc.get_freeze_count()
    seen: list[int] = []

    def act(outside: Outside) -> None:
        outside.send(2)
        outside.listen(2)
        seen.append(gc.get_freeze_count())
        seen.append(line._parts.garbage.collections[2])
        outside.signal()

    line = Service(settings)
    outside = Outside(settings, act)
    assert line.serve() is ExitCode.OK
    outside.end()
    frozen, full_collections = seen
    assert frozen > 50_000  # torch alone is more
    assert full_collections >= 1
    assert gc.get_freeze_count() == before


def test_hang_up_loads_the_recipes_again(settings: Settings) -> None:
    """After SIGHUP parts have the new model, and a recipe that is new in the folder can be asked for."""
    shas: list[str] = []

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        folder = settings.recipes.folder
        shutil.rmtree(folder / "part")
        shas.append(saved(folder / "part", seed=1).model_sha)
        saved(folder / "another", seed=2, name="another")
        outside.signal(signal.SIGHUP)
        until_s = time.monotonic() + 20
        while "another" not in line._parts.shelf.names or line._parts.shelf.models[0].sha != shas[0]:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        outside.send(1, first=1)
        outside.listen(1)
        outside.signal()

    line = Service(settings)
    outside = Outside(settings, act)
    assert line.serve() is ExitCode.OK
    outside.end()
    old, new = outside.results
    assert old.model_sha != new.model_sha == shas[0]
