"""Who works through the cells: this process, one process a device, or a Ray cluster (`ray_engine`)."""

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
from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions
from cmfm_worker.paper_tables.run_cell import extractor_for, measure_cell
from cmfm_worker.paper_tables.store import CellResult


@dataclass(frozen=True, slots=True)
class CellEnd:
    """How a cell ended: with a result, or with what is wrong with its files."""

    cell: Cell
    result: CellResult | None
    problem: str = ""


class Engine(Protocol):
    """Works through cells in any order."""

    def run(self, cells: Sequence[Cell], options: SuiteOptions) -> Iterator[CellEnd]:
        """Every cell's end, as they come. What is not the files' fault is raised."""
        ...


class CellRunner:
    """Measures cells one after the other on one device, and keeps the extractor while cells need the same."""

    def __init__(self, options: SuiteOptions, device: torch.device, progress: ReportProgress) -> None:
        self._options, self._device, self._progress = options, device, progress
        self._extractor: tuple[tuple[str, int], Extractor] | None = None

    def measure(self, cell: Cell) -> CellEnd:
        """One cell. A category that cannot be taught or read is the cell's problem, not the run's."""
        try:
            return CellEnd(cell, measure_cell(cell, self._options, self._extractor_of(cell), self._progress))
        except (DatasetError, InputError) as error:
            return CellEnd(cell, None, str(error))

    def _extractor_of(self, cell: Cell) -> Extractor:
        key = cell.settings.image, cell.settings.blocks
        if self._extractor is None or self._extractor[0] != key:
            self._extractor = None  # before the next one is loaded
            self._extractor = key, extractor_for(cell.settings, self._options, self._device)
        return self._extractor[1]


class LocalEngine:
    """This process on one device; `progress` hears how far the present cell is."""

    def __init__(self, device: torch.device, progress: ReportProgress) -> None:
        self._device, self._progress = device, progress

    def run(self, cells: Sequence[Cell], options: SuiteOptions) -> Iterator[CellEnd]:
        """In the order given."""
        bench = CellRunner(options, self._device, self._progress)
        for cell in cells:
            yield bench.measure(cell)


class DevicesEngine:
    """One process a device; each takes the next cell when it is done with one. They share the threads of this one."""

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self._devices = devices
        self._threads = max(1, torch.get_num_threads() // len(devices))

    def run(self, cells: Sequence[Cell], options: SuiteOptions) -> Iterator[CellEnd]:
        """In the order in which they end. A cell whose process dies is a problem of that cell; another process
        takes its place. Leaving early stops the processes in the middle of their cells.
        """
        idle = [self._process(options, device) for device in self._devices]
        waiting = iter(cells)
        running: dict[Future[CellEnd], tuple[_Process, Cell]] = {}
        try:
            while True:
                while idle and (cell := next(waiting, None)) is not None:
                    process = idle.pop()
                    running[process.pool.submit(_measure, cell)] = process, cell
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    process, cell = running.pop(done)
                    try:
                        end = done.result()
                    except BrokenProcessPool:
                        process.stop()
                        process = self._process(options, process.device)
                        end = CellEnd(cell, None, f"its process on {process.device} died (out of memory?)")
                    idle.append(process)
                    yield end
        finally:
            for process in (*idle, *(process for process, _ in running.values())):
                process.stop()

    def _process(self, options: SuiteOptions, device: torch.device) -> _Process:
        spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        given = (options, str(device), self._threads)
        return _Process(device, ProcessPoolExecutor(1, spawn, initializer=_take_device, initargs=given))


@dataclass(frozen=True, slots=True)
class _Process:
    """A process and its device; it is started by its first cell."""

    device: torch.device
    pool: ProcessPoolExecutor

    def stop(self) -> None:
        """End it now, also in the middle of a cell."""
        for process in list(
            (self.pool._processes or {}).values()
        ):  # what terminate_workers() of Python 3.14 does
            process.terminate()
        self.pool.shutdown(wait=True, cancel_futures=True)


class _OwnBench:
    """The bench of a process that `DevicesEngine` started; there is one a process."""

    bench: CellRunner


def _take_device(options: SuiteOptions, device: str, threads: int) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent ends its processes
    torch.set_num_threads(threads)
    _OwnBench.bench = CellRunner(options, torch.device(device), lambda *_: None)


def _measure(cell: Cell) -> CellEnd:
    return _OwnBench.bench.measure(cell)
