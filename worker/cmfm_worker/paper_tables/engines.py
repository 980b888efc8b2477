"""The engines that run experiments: in this process, or in one process a device (on a Ray cluster: `ray_engine`)."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol

import torch

from cmfm_protocol.files.dataset import DatasetError
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.experiments import Experiment, RunOptions
from cmfm_worker.paper_tables.run_experiment import extractor_for, run_experiment
from cmfm_worker.paper_tables.store import ExperimentResult


@dataclass(frozen=True, slots=True)
class ExperimentEnd:
    """The end of an experiment: its result, or the problem with its files."""

    experiment: Experiment
    result: ExperimentResult | None
    problem: str = ""


class Engine(Protocol):
    """Runs experiments in any order."""

    def run(self, experiments: Sequence[Experiment], options: RunOptions) -> Iterator[ExperimentEnd]:
        """Yield the end of every experiment as it comes. Raises any error that the files are not the cause of."""
        ...


class ExperimentRunner:
    """Runs experiments one after the other on one device; keeps the extractor while they need the same one."""

    def __init__(self, options: RunOptions, device: torch.device, progress: ReportProgress) -> None:
        self._options, self._device, self._progress = options, device, progress
        self._extractor: tuple[tuple[str, int], Extractor] | None = None

    def measure(self, experiment: Experiment) -> ExperimentEnd:
        """Run one experiment. A category that cannot be taught or read fails the experiment, not the run."""
        try:
            return ExperimentEnd(
                experiment,
                run_experiment(experiment, self._options, self._extractor_of(experiment), self._progress),
            )
        except (DatasetError, InputError) as error:
            return ExperimentEnd(experiment, None, str(error))

    def _extractor_of(self, experiment: Experiment) -> Extractor:
        key = experiment.settings.image, experiment.settings.blocks
        if self._extractor is None or self._extractor[0] != key:
            self._extractor = None  # frees its memory before the next one is loaded
            self._extractor = key, extractor_for(experiment.settings, self._options, self._device)
        return self._extractor[1]


class LocalEngine:
    """Runs experiments in this process on one device; reports the stages of each to `progress`."""

    def __init__(self, device: torch.device, progress: ReportProgress) -> None:
        self._device, self._progress = device, progress

    def run(self, experiments: Sequence[Experiment], options: RunOptions) -> Iterator[ExperimentEnd]:
        """Run the experiments in the given order."""
        runner = ExperimentRunner(options, self._device, self._progress)
        for experiment in experiments:
            yield runner.measure(experiment)


class DevicesEngine:
    """Runs one process a device; each takes the next experiment when it is free. They share this process's threads."""

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self._devices = devices
        self._threads = max(1, torch.get_num_threads() // len(devices))

    def run(self, experiments: Sequence[Experiment], options: RunOptions) -> Iterator[ExperimentEnd]:
        """Yield ends in the order in which they come.

        If a process dies, its experiment fails and a new process takes its place. Closing the iterator early stops the
        processes at once.
        """
        idle = [self._process(options, device) for device in self._devices]
        pending = iter(experiments)
        running: dict[Future[ExperimentEnd], tuple[_Process, Experiment]] = {}
        try:
            while True:
                while idle and (experiment := next(pending, None)) is not None:
                    process = idle.pop()
                    running[process.pool.submit(_measure, experiment)] = process, experiment
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    process, experiment = running.pop(done)
                    try:
                        end = done.result()
                    except BrokenProcessPool:
                        process.stop()
                        process = self._process(options, process.device)
                        end = ExperimentEnd(
                            experiment, None, f"its process on {process.device} died (out of memory?)"
                        )
                    idle.append(process)
                    yield end
        finally:
            for process in (*idle, *(process for process, _ in running.values())):
                process.stop()

    def _process(self, options: RunOptions, device: torch.device) -> _Process:
        spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        given = (options, str(device), self._threads)
        return _Process(device, ProcessPoolExecutor(1, spawn, initializer=_take_device, initargs=given))


@dataclass(frozen=True, slots=True)
class _Process:
    """A process and its device; the process starts with its first experiment."""

    device: torch.device
    pool: ProcessPoolExecutor

    def stop(self) -> None:
        """End the process now, even during an experiment."""
        for process in list(
            (self.pool._processes or {}).values()
        ):  # what terminate_workers() of Python 3.14 does
            process.terminate()
        self.pool.shutdown(wait=True, cancel_futures=True)


class _OwnRunner:
    """Holds the one runner of a process that `DevicesEngine` started."""

    runner: ExperimentRunner


def _take_device(options: RunOptions, device: str, threads: int) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent ends its processes
    torch.set_num_threads(threads)
    _OwnRunner.runner = ExperimentRunner(options, torch.device(device), lambda *_: None)


def _measure(experiment: Experiment) -> ExperimentEnd:
    return _OwnRunner.runner.measure(experiment)
