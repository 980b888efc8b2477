"""The same cells as tasks of a Ray cluster that is there already (extra `ray`).

Every node needs this package and sees the data set, the weights and the prepared frames under the same paths; figures
and pictures travel back, so the run's folder is needed on the driver alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.engines import CellEnd, CellRunner
from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions


@dataclass(frozen=True, slots=True)
class RayOptions:
    """`address` of the cluster ("auto": the one this machine belongs to), and what one cell takes of it.

    `retries` is how often a cell is begun again when its process or node dies.
    """

    address: str = "auto"
    gpus: float = 0.0
    cpus: float = 1.0
    retries: int = 3


Measure = Callable[[Cell, SuiteOptions, str, int], CellEnd]
"""What a task does: measure a cell on a device with so many threads."""


def measure_remotely(cell: Cell, options: SuiteOptions, device: str, threads: int) -> CellEnd:
    """One cell in a process of the cluster."""
    torch.set_num_threads(threads)
    return CellRunner(options, torch.device(device), lambda *_: None).measure(cell)


class RayEngine:
    """Cells as Ray tasks. Raises InputError where Ray or its cluster is not there."""

    def __init__(self, options: RayOptions, measure: Measure = measure_remotely) -> None:
        self._options = options
        self._measure = measure
        self._ray = _connected(options.address)

    def run(self, cells: Sequence[Cell], options: SuiteOptions) -> Iterator[CellEnd]:
        """In the order in which they end. A cell that no retry saves is a problem of that cell."""
        ray, asked = self._ray, self._options
        task = ray.remote(
            num_cpus=asked.cpus, num_gpus=asked.gpus, max_retries=asked.retries, retry_exceptions=[OSError]
        )(self._measure)
        shared = ray.put(options)
        device = "cuda" if asked.gpus else "cpu"
        running = {task.remote(cell, shared, device, max(1, round(asked.cpus))): cell for cell in cells}
        try:
            while running:
                ready, _ = ray.wait(list(running), num_returns=1)
                for reference in ready:
                    cell = running.pop(reference)
                    try:
                        yield ray.get(reference)
                    except ray.exceptions.RayError as error:
                        yield CellEnd(cell, None, f"lost on the cluster: {_first_line(error)}")
        finally:
            for reference in running:  # the run was interrupted
                ray.cancel(reference, force=True)


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray: pip install 'cmfm[ray]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"--engine ray: no Ray cluster at {address!r} ({_first_line(error)}); start one with `ray start --head`"
            ) from error
    return ray


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
