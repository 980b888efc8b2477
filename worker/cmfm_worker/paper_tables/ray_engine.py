"""Runs experiments as tasks of an existing Ray cluster (extra `ray`).

Every node needs this package, and the data set, weights and prepared frames under the same paths. Figures and pictures
are sent back, so only the driver needs the run's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.engines import ExperimentEnd, ExperimentRunner
from cmfm_worker.paper_tables.experiments import Experiment, RunOptions


@dataclass(frozen=True, slots=True)
class RayOptions:
    """`address` of the cluster ("auto": the one this machine belongs to) and the GPUs and CPUs of one experiment.

    `retries` is how often an experiment is started again after its process or node has died.
    """

    address: str = "auto"
    gpus: float = 0.0
    cpus: float = 1.0
    retries: int = 3


Measure = Callable[[Experiment, RunOptions, str, int], ExperimentEnd]
"""The work of a task: run an experiment on a device with a number of threads."""


def measure_remotely(experiment: Experiment, options: RunOptions, device: str, threads: int) -> ExperimentEnd:
    """Run one experiment in a process of the cluster."""
    torch.set_num_threads(threads)
    return ExperimentRunner(options, torch.device(device), lambda *_: None).measure(experiment)


class RayEngine:
    """Runs experiments as Ray tasks. Raises InputError if Ray or its cluster is missing."""

    def __init__(self, options: RayOptions, measure: Measure = measure_remotely) -> None:
        self._options = options
        self._measure = measure
        self._ray = _connected(options.address)

    def run(self, experiments: Sequence[Experiment], options: RunOptions) -> Iterator[ExperimentEnd]:
        """Yield ends in the order in which they come. If all retries fail, the experiment fails, not the run."""
        ray, asked = self._ray, self._options
        task = ray.remote(
            num_cpus=asked.cpus, num_gpus=asked.gpus, max_retries=asked.retries, retry_exceptions=[OSError]
        )(self._measure)
        shared = ray.put(options)
        device = "cuda" if asked.gpus else "cpu"
        running = {
            task.remote(experiment, shared, device, max(1, round(asked.cpus))): experiment
            for experiment in experiments
        }
        try:
            while running:
                ready, _ = ray.wait(list(running), num_returns=1)
                for reference in ready:
                    experiment = running.pop(reference)
                    try:
                        yield ray.get(reference)
                    except ray.exceptions.RayError as error:
                        yield ExperimentEnd(experiment, None, f"lost on the cluster: {_first_line(error)}")
        finally:
            for reference in running:  # not empty only after an interruption
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
