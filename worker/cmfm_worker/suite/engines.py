"""Who works through the cells: this process, one process a device, or a Ray cluster (`ray_engine`)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

import torch

from cmfm_protocol.dataset import DatasetError
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.errors import InputError
from cmfm_worker.suite.cells import Cell, SuiteOptions
from cmfm_worker.suite.measure_cell import Progress, extractor_for, measure_cell
from cmfm_worker.suite.store import CellResult


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


class CellBench:
    """Measures cells one after the other on one device, and keeps the extractor while cells need the same."""

    def __init__(self, options: SuiteOptions, device: torch.device, progress: Progress) -> None:
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

    def __init__(self, device: torch.device, progress: Progress) -> None:
        self._device, self._progress = device, progress

    def run(self, cells: Sequence[Cell], options: SuiteOptions) -> Iterator[CellEnd]:
        """In the order given."""
        bench = CellBench(options, self._device, self._progress)
        for cell in cells:
            yield bench.measure(cell)


class DevicesEngine:
    """One process a device; each takes the next cell when it is done with one."""

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self._devices = devices

    def run(self, cells: Sequence[Cell], options: SuiteOptions) -> Iterator[CellEnd]:
        """In the order in which they end."""
        spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        pools = [
            ProcessPoolExecutor(1, spawn, initializer=_take_device, initargs=(options, str(device)))
            for device in self._devices
        ]
        waiting = iter(cells)
        try:
            running = {pool.submit(_measure, cell): pool for pool, cell in zip(pools, waiting, strict=False)}
            while running:
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    pool = running.pop(done)
                    yield done.result()
                    for cell in waiting:
                        running[pool.submit(_measure, cell)] = pool
                        break
        finally:
            for pool in pools:
                pool.shutdown(wait=True, cancel_futures=True)


class _OwnBench:
    """The bench of a process that `DevicesEngine` started; there is one a process."""

    bench: CellBench


def _take_device(options: SuiteOptions, device: str) -> None:
    _OwnBench.bench = CellBench(options, torch.device(device), lambda *_: None)


def _measure(cell: Cell) -> CellEnd:
    return _OwnBench.bench.measure(cell)
