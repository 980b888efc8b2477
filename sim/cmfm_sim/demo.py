"""The whole line on this machine: parts, recipes, a worker process, a camera process, verdicts, and an account."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmfm_client.events import Event
from cmfm_client.result_log import ResultLog
from cmfm_client.subscriber import ResultSubscriber
from cmfm_protocol.files.dataset import DatasetError, list_parts
from cmfm_protocol.wire.state import WorkerState
from cmfm_sim.accounting import Account, account, compare_with_worker
from cmfm_sim.datasets.write import MARKER as DATASET_MARKER
from cmfm_sim.datasets.write import write_dataset
from cmfm_sim.demo_line import DemoFolder, Endpoints
from cmfm_sim.errors import FailedError
from cmfm_sim.listener import LineListener
from cmfm_sim.pictures import RejectPictures
from cmfm_sim.processes import Child, Children, program
from cmfm_sim.trigger_log import read_triggers

FIT_LIMIT_S: Final = 900.0
READY_LIMIT_S: Final = 180.0
DRAIN_LIMIT_S: Final = 90.0
LAST_RESULT_S: Final = 3.0
"""Past the last deadline, how long a verdict is still waited for before the worker is told to end."""

AFTERGLOW_S: Final = 0.3
"""After the worker has ended, what it sent may still be in our sockets."""

USUAL_RATE_HZ: Final = 4.0
"""Parts a second, slow enough to be watched."""

LOAD: Final = 0.6
"""How much of what the worker can do is asked of it at most: camera, pictures and terminal need the machine too."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is shown: so many train, validation, good and defective (of each kind) test parts of each category.

    `rate_hz` None is the usual rate, or what the worker can do with some room to spare.
    """

    categories: tuple[str, ...]
    train: int
    validation: int
    good: int
    per_defect: int
    rate_hz: float | None = None
    deadline_ms: float = 1000.0
    faults: str = ""
    seed: int = 0
    keep: bool = False
    jobs: int = 2
    triggers: bool = False


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What came of it. `problems` is empty only where the identity holds, outside and in the worker's own count."""

    account: Account
    problems: tuple[str, ...]
    pictures: tuple[Path, ...]


class Stage:
    """What a person sees of the demo; overridden by the command. Every method may raise to stop it."""

    def begin(self, title: str) -> None:
        """A new piece of work begins."""

    def progress(self, done: int, total: int) -> None:
        """How far it is."""

    def done(self, text: str) -> None:
        """It is done."""

    def event(self, event: Event, truth: dict[str, str]) -> None:
        """Something came from the worker; `truth` is part id → kind of defect."""


class Demo:
    """One run. `run` raises FailedError, InputError or DatasetError; no process is left behind in any case."""

    def __init__(
        self, folder: DemoFolder, options: DemoOptions, stage: Stage, stopped: Callable[[], bool]
    ) -> None:
        self._folder = folder
        self._options = options
        self._stage = stage
        self._stopped = stopped
        self._pictures = RejectPictures(folder.rejected)

    def run(self) -> DemoReport:
        """Make parts, teach, run the line, count."""
        folder = self._folder
        folder.prepare(keep=self._options.keep)
        self._make_parts()
        with Children(folder.logs) as children:
            self._teach(children)
            endpoints = Endpoints.free()
            folder.write_config(endpoints, self._options.categories)
            with ResultSubscriber(endpoints.subscriber()) as subscriber, ResultLog(folder.results) as log:
                listener = LineListener(subscriber, log=log, pictures=self._pictures, tell=self._teller())
                worker = self._start_worker(children, listener)
                self._show_parts(children, endpoints, listener, worker)
                self._end_worker(worker, listener)
        return self._report(listener)

    def _make_parts(self) -> None:
        options, stage = self._options, self._stage
        if options.keep and _are_there(self._folder.dataset, options.categories):
            stage.done(f"parts of {', '.join(options.categories)} are there from before")
            return
        stage.begin("Making parts")
        write_dataset(
            self._folder.dataset,
            categories=options.categories,
            train=options.train,
            validation=options.validation,
            good=options.good,
            per_defect=options.per_defect,
            seed=options.seed,
            progress=self._made,
            jobs=options.jobs,
        )
        stage.done(f"made parts of {', '.join(options.categories)} in {self._folder.dataset}")

    def _made(self, done: int, total: int) -> None:
        self._require_going()
        self._stage.progress(done, total)

    def _teach(self, children: Children) -> None:
        for category in self._options.categories:
            recipe = self._folder.recipes / category
            if self._options.keep and (recipe / "recipe.toml").is_file():
                self._stage.done(f"recipe {category} is there from before")
                continue
            self._stage.begin(f"Teaching recipe {category}")
            argv = [
                "fit",
                "--dataset",
                "mvtec3d",
                "--root",
                str(self._folder.dataset),
                "--category",
                category,
            ]
            argv += ["--out", str(recipe), "--force"]
            child = children.start(f"fit-{category}", [*program("cmfm-worker"), *argv])
            child.wait(self._stopped, FIT_LIMIT_S)
            self._stage.done(f"taught recipe {category} from good parts")

    def _start_worker(self, children: Children, listener: LineListener) -> Child:
        self._stage.begin("Starting the worker")
        argv = [*program("cmfm-worker"), "--config", str(self._folder.config)]
        worker = children.start("worker", argv)
        until_s = time.monotonic() + READY_LIMIT_S
        while listener.phase != "ready":
            self._require_going()
            if worker.returncode is not None:
                raise worker.failure(f"ended before it was ready, with exit code {worker.returncode}")
            if time.monotonic() > until_s:
                raise worker.failure(f"was not ready within {READY_LIMIT_S:g} s")
            listener.listen()
        self._stage.done(f"worker is ready: {' '.join(argv)}")
        return worker

    def _show_parts(
        self, children: Children, endpoints: Endpoints, listener: LineListener, worker: Child
    ) -> None:
        rate_hz = self._rate_hz(listener.state)
        self._stage.begin("Replaying the test parts")
        replay = children.start("replay", [*program("cmfm-sim"), *self._replay_arguments(endpoints, rate_hz)])
        while replay.returncode is None:
            self._require_going()
            if worker.returncode is not None:
                raise worker.failure(f"ended in the middle of the run, with exit code {worker.returncode}")
            listener.listen()
        replay.require_success()
        fired = {trigger.key for trigger in read_triggers(self._folder.triggers)}
        until_s = time.monotonic() + self._options.deadline_ms / 1000 + LAST_RESULT_S
        while not fired <= listener.keys and time.monotonic() < until_s and worker.returncode is None:
            self._require_going()
            listener.listen()

    def _rate_hz(self, state: WorkerState | None) -> float:
        """What was asked for, or what suits a worker that says what a part costs it."""
        part_ms = state.part_ms if state is not None else None
        rate_hz = self._options.rate_hz or rate_for(part_ms)
        cost = f"a part costs it {part_ms:.3g} ms; " if part_ms is not None else ""
        self._stage.done(f"{cost}the conveyor brings {rate_hz:.3g} parts a second")
        return rate_hz

    def _replay_arguments(self, endpoints: Endpoints, rate_hz: float) -> list[str]:
        options, folder = self._options, self._folder
        categories = [item for category in options.categories for item in ("--category", category)]
        arguments = {
            "--dataset": "synthetic",
            "--root": folder.dataset,
            "--rate": rate_hz,
            "--endpoint": endpoints.frames,
            "--deadline-ms": options.deadline_ms,
            "--shuffle": options.seed,
            "--seed": options.seed,
            "--faults": options.faults,
            "--record": folder.triggers,
        }
        named = [str(item) for pair in arguments.items() for item in pair]
        return ["replay", *categories, *named, *(["--triggers"] if options.triggers else []), "--json"]

    def _end_worker(self, worker: Child, listener: LineListener) -> None:
        """SIGTERM: the worker answers what is open and ends with 0."""
        self._stage.begin("Ending the worker")
        listener.catch_up()
        worker.terminate()
        until_s = time.monotonic() + DRAIN_LIMIT_S
        while worker.returncode is None:
            self._require_going()
            if time.monotonic() > until_s:
                raise worker.failure(f"did not end within {DRAIN_LIMIT_S:g} s of SIGTERM")
            listener.listen()
        listener.listen_for(AFTERGLOW_S)
        worker.require_success()
        self._stage.done("worker drained and ended with exit code 0")

    def _teller(self) -> Callable[[Event], None]:
        root = self._folder.dataset
        parts = [part for name in self._options.categories for part in list_parts(root, name, "test")]
        truth = {part.id: part.defect for part in parts}
        return lambda event: self._stage.event(event, truth)

    def _require_going(self) -> None:
        if self._stopped():
            raise FailedError("stopped")

    def _report(self, listener: LineListener) -> DemoReport:
        counted = account(read_triggers(self._folder.triggers), listener.received)
        problems = [*counted.problems(), *compare_with_worker(counted, listener.state)]
        if listener.lost:
            problems.append(f"{listener.lost} results were published but never received")
        return DemoReport(counted, tuple(problems), tuple(self._pictures.saved))


def rate_for(part_ms: float | None) -> float:
    """Parts a second to show to a worker whom a part costs so much: the usual ones, or fewer where it is too slow."""
    return min(USUAL_RATE_HZ, LOAD * 1000 / part_ms) if part_ms else USUAL_RATE_HZ


def _are_there(root: Path, categories: Sequence[str]) -> bool:
    if not (root / DATASET_MARKER).is_file():  # written last
        return False
    try:
        return all(list_parts(root, category, "test") for category in categories)
    except DatasetError:
        return False
