"""A line under load: the real worker as a process, a camera thread, a subscriber, and the account from outside."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import tomli_w
from tests.system.fit_command import fit_command

from cmfm_client.events import Damaged, Lost, Received
from cmfm_client.subscriber import ResultSubscriber, SubscriberOptions
from cmfm_protocol.wire.state import WorkerState
from cmfm_sim.datasets.write import write_dataset
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError
from cmfm_sim.processes import Child, Children, program

from .feed import Feed, Run
from .forked_worker import ForkedWorker
from .frames import Parts
from .tally import Tally

CATEGORY: Final = "praline"
READY_LIMIT_S: Final = 120.0
SETTLE_LIMIT_S: Final = 60.0
DRAIN_LIMIT_S: Final = 90.0
LISTEN_S: Final = 0.05
SWITCH_INTERVAL_S: Final = 0.0005
"""The camera is a thread beside the subscriber: with Python's default it may delay a verdict by 5 ms."""

OnResult = Callable[[Received], None]
"""Called for each result as it comes."""


def prepare(folder: Path, *, size_px: int, recipes: Mapping[str, int], train: int = 12) -> Parts:
    """Synthetic parts and `recipes` (name → seed of its fit) under `folder`; makes what is missing."""
    dataset = folder / f"dataset_{size_px}"
    if not dataset.is_dir():
        write_dataset(
            dataset,
            categories=(CATEGORY,),
            train=train,
            validation=max(3, train // 2),
            good=8,
            per_defect=1,
            seed=7,
            size_px=size_px,
        )
    with Children(folder / "logs") as children:
        for name, seed in recipes.items():
            out = folder / "recipes" / name
            if not out.is_dir():
                fit = fit_command(dataset, CATEGORY, out, "--seed", str(seed))
                children.start(f"fit-{name}", fit).wait(lambda: False, 600)
    return Parts.read(dataset, CATEGORY)


def settings_of(endpoints: Endpoints, recipes: Path, *, size_px: int, threads: int) -> dict[str, Any]:
    """A `line.toml` for a feed of such frames; other keys keep their defaults."""
    return {
        "sockets": {
            "frames": [endpoints.frames],
            "results": endpoints.results,
            "maps": endpoints.maps,
            "recovery": endpoints.recovery,
            "control": endpoints.control,
        },
        "recipes": {"folder": str(recipes.resolve()), "default": CATEGORY},
        "device": {"name": "cpu", "threads": threads, "warmup_px": size_px},
    }


class LoadedLine:
    """A line under load. Use it as a context; it leaves nothing running.

    The worker is the program that a user starts, or, `forked`, the same without its start-up (`ForkedWorker`).
    """

    def __init__(
        self,
        folder: Path,
        parts: Parts,
        settings: Mapping[str, Any],
        endpoints: Endpoints,
        *,
        forked: bool = False,
        on_result: OnResult = lambda _: None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.tally = Tally()
        self.state: WorkerState | None = None
        self.lost = 0
        self._config = folder / "line.toml"
        self._config.write_text(tomli_w.dumps(settings), encoding="utf-8")
        self._log = folder / "logs" / "worker.log"
        self._forked = forked
        self._on_result = on_result
        self._parts = parts
        self._endpoints = endpoints
        self._children = Children(folder / "logs")
        self._subscriber = ResultSubscriber(
            SubscriberOptions(endpoints.results, recovery=endpoints.recovery, from_start=True)
        )
        self._feed: Feed | None = None
        self._worker: Child | None = None

    def __enter__(self) -> "LoadedLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._feed is not None:
            self._feed.close(in_order=False)
        self._children.__exit__(kind, error, trace)
        if self._worker is not None:
            self._worker.end()
        self._subscriber.close()

    @property
    def worker(self) -> Child:
        """The worker's process, once it was started."""
        if self._worker is None:
            raise FailedError("the worker has not been started")
        return self._worker

    def start(self) -> None:
        """Start worker and camera; ready and connected afterwards."""
        self.launch()
        self.listen_until(lambda: self.state is not None and self.state.phase == "ready", READY_LIMIT_S)

    def launch(self) -> None:
        """Start worker and camera without waiting for them."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        if self._forked:
            self._worker = ForkedWorker(self._config, self._log)
        else:
            command = [*program("cmfm-worker"), "--config", str(self._config)]
            self._worker = self._children.start("worker", command)
        self._feed = Feed(self._endpoints.frames, self._parts, self.tally)

    def run(self, run: Run) -> Run:
        """Let the camera start a run; returns at once."""
        if self._feed is None:
            raise FailedError("the line has not been started")
        return self._feed.start(run)

    def finish(self, run: Run, seconds: float) -> None:
        """Listen until a run has ended and its triggers have their verdicts, or SETTLE_LIMIT_S has passed."""
        self.listen_until(run.ended.is_set, seconds)
        self.settle()

    def settle(self) -> None:
        """Listen until no trigger is open, or SETTLE_LIMIT_S has passed; the account shows what stays open."""
        until_s = time.monotonic() + SETTLE_LIMIT_S
        while self.tally.open and time.monotonic() < until_s:
            self.listen()

    def listen(self, seconds: float = LISTEN_S) -> None:
        """Take what the worker sends within `seconds`. Raises FailedError if it or the camera has failed."""
        for event in self._subscriber.poll(seconds):
            if isinstance(event, Received):
                self._take(event)
            elif isinstance(event, WorkerState):
                self.state = event
            elif isinstance(event, Lost):
                self.lost += len(event.missing)
            elif isinstance(event, Damaged):
                raise FailedError(f"the worker sent a message that is not of this protocol: {event.detail}")
        self.worker.require_success()
        if self._feed is not None and self._feed.failure is not None:
            raise FailedError(f"the camera failed: {self._feed.failure!r}") from self._feed.failure

    def listen_until(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Listen until `condition` is true. Raises FailedError after `limit_s`."""
        until_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until_s:
                raise self.worker.failure(f"did not fulfil a condition within {limit_s:g} s")
            self.listen()

    def capacity(self, seconds: float, *, deadline_ms: float = 30_000.0, window: int = 8) -> float:
        """Parts a second with `window` in flight all the time; the first fifth of the time is left out."""
        run = self.run(Run(0.0, seconds, deadline_ms, window=window))
        self.finish(run, seconds + SETTLE_LIMIT_S)
        arrivals = self.tally.triggers().between(run.first, run.end).arrival_ns
        kept = arrivals[arrivals > arrivals.min() + int(0.2 * seconds * 1e9)]
        if len(kept) < 2:
            raise FailedError(f"{len(arrivals)} parts in {seconds:g} s: too few to say what the line can do")
        return float((len(kept) - 1) / ((kept.max() - kept.min()) / 1e9))

    def drain(self) -> int:
        """End the camera in order, send SIGTERM, listen to the worker's end and return its exit code."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        self.settle()
        return self.terminate()

    def terminate(self) -> int:
        """Send SIGTERM while the camera goes on; listen to the worker's end and return its exit code."""
        self.worker.terminate()
        self.listen_until(lambda: self.worker.returncode is not None, DRAIN_LIMIT_S)
        self.listen(0.2)
        return self.worker.returncode or 0

    def problems(self) -> list[str]:
        """Violations of the identity as seen from outside; empty if it holds."""
        lost = [f"{self.lost} results lost to a subscriber with recovery"] if self.lost else []
        return [*self.tally.problems(self.state), *lost]

    def _take(self, item: Received) -> None:
        if self.tally.receive(item) and self._feed is not None:
            self._feed.verdict()
        self._on_result(item)
