"""The demo: makes parts, teaches recipes, runs worker and camera as processes, and accounts for every part."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cmfm_client.events import Event
from cmfm_client.result_log import ResultLog
from cmfm_client.subscriber import ResultSubscriber
from cmfm_protocol.files.dataset import DatasetError, list_parts
from cmfm_protocol.wire.state import WorkerState
from cmfm_sim.accounting import account, compare_with_worker
from cmfm_sim.datasets.write import MARKER as DATASET_MARKER
from cmfm_sim.datasets.write import write_dataset
from cmfm_sim.demo_conveyor import DemoConveyor, rate_for
from cmfm_sim.demo_gateway import DemoGateway, start_gateway
from cmfm_sim.demo_line import DemoFolder, Endpoints
from cmfm_sim.demo_options import DemoDisplay, DemoOptions, DemoReport
from cmfm_sim.demo_page import USER, DemoPage, start_page
from cmfm_sim.errors import FailedError
from cmfm_sim.listener import LineListener
from cmfm_sim.pictures import RejectPictures
from cmfm_sim.processes import Child, Children, program

FIT_LIMIT_S: Final = 900.0
READY_LIMIT_S: Final = 180.0
DRAIN_LIMIT_S: Final = 90.0
LAST_RESULT_S: Final = 3.0
"""Time past the last deadline for which a verdict is waited for before the worker is ended."""

LAST_MESSAGES_S: Final = 0.3
"""Time after the worker's end for messages that are still in our sockets."""


class Demo:
    """One run. `run` raises FailedError, InputError, ClientError or DatasetError; no process is left behind.

    With the page the test parts go round after the last one until `stopped`; `go_on` then makes `stopped` false again.
    """

    def __init__(
        self,
        folder: DemoFolder,
        options: DemoOptions,
        display: DemoDisplay,
        stopped: Callable[[], bool],
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._options = options
        self._display = display
        self._stopped = stopped
        self._go_on = go_on
        self._pictures = RejectPictures(folder.rejected)

    def run(self) -> DemoReport:
        """Make parts, teach recipes, run the line, count."""
        folder = self._folder
        folder.prepare(keep=self._options.keep)
        self._make_parts()
        with Children(folder.logs) as children:
            self._teach(children)
            endpoints = Endpoints.free()
            folder.write_config(endpoints, self._options.categories)
            with ResultSubscriber(endpoints.subscriber()) as subscriber, ResultLog(folder.results) as log:
                listener = LineListener(
                    subscriber, log=log, pictures=self._pictures, on_event=self._event_handler()
                )
                worker = self._start_worker(children, listener)
                gateway = self._start_gateway(children, endpoints)
                page = self._start_page(children, endpoints)
                conveyor = self._conveyor(children, endpoints, listener.state)
                self._show_parts(conveyor, listener, worker)
                self._hold_for(page, conveyor, worker, listener)
                self._end_worker(worker, listener)
                problems = self._ask_gateway(gateway, listener)
        return self._report(listener, problems)

    def _make_parts(self) -> None:
        options, display = self._options, self._display
        if options.keep and _are_there(self._folder.dataset, options.categories):
            display.done(f"parts of {', '.join(options.categories)} are there from before")
            return
        display.begin("Making parts")
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
        display.done(f"made parts of {', '.join(options.categories)} in {self._folder.dataset}")

    def _made(self, done: int, total: int) -> None:
        self._require_going()
        self._display.progress(done, total)

    def _teach(self, children: Children) -> None:
        for category in self._options.categories:
            recipe = self._folder.recipes / category
            if self._options.keep and (recipe / "recipe.toml").is_file():
                self._display.done(f"recipe {category} is there from before")
                continue
            self._display.begin(f"Teaching recipe {category}")
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
            child.wait(partial(self._watch, child), FIT_LIMIT_S)
            self._display.done(f"taught recipe {category} from good parts")

    def _watch(self, child: Child) -> bool:
        """Show how far a child is, by the last line of its log; return True if the demo is to stop."""
        said = child.output().splitlines()
        if said:
            self._display.note(said[-1])
        return self._stopped()

    def _start_worker(self, children: Children, listener: LineListener) -> Child:
        self._display.begin("Starting the worker")
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
        self._display.done(f"worker is ready: {' '.join(argv)}")
        return worker

    def _conveyor(self, children: Children, endpoints: Endpoints, state: WorkerState | None) -> DemoConveyor:
        """The conveyor at the rate of the options, or at one that suits the worker's time a part."""
        part_ms = state.part_ms if state is not None else None
        rate_hz = self._options.rate_hz or rate_for(part_ms)
        cost = f"in the warm-up a part took it {part_ms:.3g} ms; " if part_ms is not None else ""
        self._display.done(f"{cost}the conveyor brings {rate_hz:.3g} parts a second")
        return DemoConveyor(children, self._folder, endpoints, self._options, rate_hz)

    def _show_parts(self, conveyor: DemoConveyor, listener: LineListener, worker: Child) -> None:
        self._display.begin("Replaying the test parts")
        replay = conveyor.once()
        while replay.returncode is None:
            self._require_going()
            if worker.returncode is not None:
                raise worker.failure(f"ended in the middle of the run, with exit code {worker.returncode}")
            listener.listen()
        replay.require_success()
        self._wait_for_verdicts(listener, worker)

    def _wait_for_verdicts(self, listener: LineListener, worker: Child) -> None:
        fired = {trigger.key for trigger in self._folder.fired()}
        until_s = time.monotonic() + self._options.deadline_ms / 1000 + LAST_RESULT_S
        while not fired <= listener.keys and time.monotonic() < until_s and worker.returncode is None:
            self._require_going()
            listener.listen()

    def _end_worker(self, worker: Child, listener: LineListener) -> None:
        """Send SIGTERM: the worker gives the open verdicts and ends with 0."""
        self._display.begin("Ending the worker")
        listener.catch_up()
        worker.terminate()
        until_s = time.monotonic() + DRAIN_LIMIT_S
        while worker.returncode is None:
            self._require_going()
            if time.monotonic() > until_s:
                raise worker.failure(f"did not end within {DRAIN_LIMIT_S:g} s of SIGTERM")
            listener.listen()
        listener.listen_for(LAST_MESSAGES_S)
        worker.require_success()
        self._display.done("worker drained and ended with exit code 0")

    def _event_handler(self) -> Callable[[Event], None]:
        root = self._folder.dataset
        parts = [part for name in self._options.categories for part in list_parts(root, name, "test")]
        truth = {part.id: part.defect for part in parts}
        return lambda event: self._display.event(event, truth)

    def _require_going(self) -> None:
        if self._stopped():
            raise FailedError("stopped")

    def _start_gateway(self, children: Children, endpoints: Endpoints) -> DemoGateway | None:
        if not self._options.gateway:
            return None
        self._display.begin("Starting the gateway")
        gateway = start_gateway(children, self._folder.root, endpoints, self._stopped)
        self._display.done("gateway is ready")
        for address in gateway.addresses:
            self._display.done(address)
        return gateway

    def _start_page(self, children: Children, endpoints: Endpoints) -> DemoPage | None:
        if not self._options.page:
            return None
        self._display.begin("Starting the page")
        page = start_page(children, self._folder.root, endpoints, self._stopped)
        self._display.done(f"page: {page.address}    user {USER}, password {page.password}")
        return page

    def _hold_for(
        self, page: DemoPage | None, conveyor: DemoConveyor, worker: Child, listener: LineListener
    ) -> None:
        """Let the test parts go round until Ctrl-C, so that a person can look at the page of a running line."""
        if page is None:
            return
        listener.be_quiet()
        rounds = conveyor.round_after_round()
        self._display.begin(f"The parts go round, without rows here; {page.address} stays until Ctrl-C")
        while not self._stopped():
            for process in (worker, rounds):
                if process.returncode is not None:
                    raise process.failure(f"ended with exit code {process.returncode}")
            listener.listen()
        self._go_on()
        rounds.terminate()
        while rounds.returncode is None:
            self._require_going()
            listener.listen()
        self._wait_for_verdicts(listener, worker)

    def _ask_gateway(self, gateway: DemoGateway | None, listener: LineListener) -> list[str]:
        """Compare what the gateway passed on with what was published."""
        if gateway is None:
            return []
        passed_on, published = gateway.results(), len(listener.received)
        self._display.done(f"gateway passed on {passed_on} of {published} results")
        return [] if passed_on == published else [f"the gateway passed on {passed_on} of {published} results"]

    def _report(self, listener: LineListener, gateway_problems: Sequence[str]) -> DemoReport:
        counted = account(self._folder.fired(), listener.received)
        problems = [*counted.problems(), *compare_with_worker(counted, listener.state)]
        problems += gateway_problems
        if listener.lost:
            problems.append(f"{listener.lost} results were published but never received")
        return DemoReport(counted, tuple(problems), tuple(self._pictures.saved))


def _are_there(root: Path, categories: Sequence[str]) -> bool:
    if not (root / DATASET_MARKER).is_file():  # written last
        return False
    try:
        return all(list_parts(root, category, "test") for category in categories)
    except DatasetError:
        return False
