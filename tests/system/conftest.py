"""A real line for system tests: a recipe taught once, a worker process, a subscriber that misses nothing."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from cmfm_client.curve import ClientKeys
from cmfm_client.events import Damaged, Event, Lost, Received
from cmfm_client.subscriber import ResultSubscriber
from cmfm_protocol.wire.state import WorkerState
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.processes import Child, Children, program
from cmfm_sim.trigger_log import TriggerRecord, read_triggers

from .fit_command import fit_command

READY_LIMIT_S = 90.0


@pytest.fixture(scope="session")
def recipes(tmp_path_factory: pytest.TempPathFactory, synthetic_root: Path) -> Path:
    """A folder with the recipe `praline`, taught from six parts as a user would."""
    folder = tmp_path_factory.mktemp("recipes")
    with Children(folder / "logs") as children:
        fit = fit_command(synthetic_root, "praline", folder / "praline")
        children.start("fit", fit).wait(lambda: False, 300)
    return folder


class Line:
    """A worker process, its endpoints, and the events that it caused."""

    def __init__(
        self,
        folder: Path,
        recipes: Path,
        endpoints: Endpoints,
        children: Children,
        keys: ClientKeys | None = None,
    ) -> None:
        self.folder = folder
        self.endpoints = endpoints
        self.received: list[Received] = []
        self.states: list[WorkerState] = []
        self.lost = 0
        self._children = children
        self._recipes = recipes
        self.subscriber = ResultSubscriber(replace(endpoints.subscriber(), keys=keys))
        self.program = program("cmfm-worker")

    def start(self, **settings: dict[str, object]) -> Child:
        """Start the worker and wait until it is ready."""
        table: dict[str, object] = {
            "sockets": {
                "frames": [self.endpoints.frames],
                "results": self.endpoints.results,
                "maps": self.endpoints.maps,
                "recovery": self.endpoints.recovery,
                "control": self.endpoints.control,
            },
            "recipes": {"folder": str(self._recipes), "default": "praline"},
            "device": {"threads": 1, "warmup_px": 160},
            "results": {"state_ms": 100.0},
        }
        config = self.folder / "line.toml"
        config.write_text(tomli_w.dumps({**table, **settings}))
        worker = self._children.start("worker", [*self.program, "--config", str(config)])
        self.wait_for(lambda: bool(self.states) and self.states[-1].phase == "ready", worker, READY_LIMIT_S)
        return worker

    def replay(self, root: Path, *options: str) -> Child:
        """Start a camera process."""
        command = [*program("cmfm-sim"), "replay", "--dataset", "mvtec3d", "--root", str(root)]
        command += ["--category", "praline", "--endpoint", self.endpoints.frames]
        command += ["--record", str(self.folder / "triggers.jsonl"), *options]
        return self._children.start("camera", command)

    def rate_hz(self, most_hz: float) -> float:
        """`most_hz`, or half of this machine's capacity if that is less, so that every part is inspected."""
        part_ms = self.states[-1].part_ms
        assert part_ms is not None  # a ready worker has been warmed up
        return min(most_hz, 500 / part_ms)

    def start_child(self, name: str, command: list[str]) -> Child:
        """Start another process of the line; it ends with the test."""
        return self._children.start(name, command)

    def listen(self, seconds: float = 0.05) -> None:
        """Take what has come, after waiting up to `seconds` for the first of it."""
        for event in self.subscriber.poll(seconds):
            self._take(event)

    def catch_up(self) -> None:
        """Ask for results that did not come by themselves."""
        for event in self.subscriber.catch_up():
            self._take(event)

    def wait_for(self, condition: Callable[[], bool], child: Child, limit_s: float) -> None:
        """Listen until `condition` is true; raises FailedError if `child` fails or time runs out."""
        until_s = time.monotonic() + limit_s
        while not condition():
            child.require_success()
            if time.monotonic() > until_s:
                raise child.failure(f"condition not met within {limit_s:g} s: {condition}")
            self.listen()

    def finish(self, worker: Child, *, limit_s: float = 60.0) -> None:
        """Send SIGTERM and listen until the worker has ended, which it must with 0."""
        worker.terminate()
        self.wait_for(lambda: worker.returncode is not None, worker, limit_s)
        self.listen(0.2)
        assert worker.returncode == 0, worker.output()

    def wait_for_end(self, worker: Child, limit_s: float) -> None:
        """Listen until the worker has ended, whatever its exit code."""
        until_s = time.monotonic() + limit_s
        while worker.returncode is None:
            assert time.monotonic() < until_s, worker.output()
            self.listen()
        self.listen(0.5)

    def triggers(self) -> list[TriggerRecord]:
        """The triggers that the camera fired."""
        return read_triggers(self.folder / "triggers.jsonl")

    def ledger(self) -> list[tuple[str, int, str, str]]:
        """stream, seq, verdict and reason of every row."""
        connection = sqlite3.connect(self.folder / "ledger.sqlite")
        rows = connection.execute(
            "SELECT stream_uuid, seq, verdict, reason FROM triggers ORDER BY result_id"
        ).fetchall()
        connection.close()
        return rows

    def _take(self, event: Event) -> None:
        if isinstance(event, Received):
            self.received.append(event)
        elif isinstance(event, WorkerState):
            self.states.append(event)
        elif isinstance(event, Lost):
            self.lost += len(event.missing)
        elif isinstance(event, Damaged):
            pytest.fail(f"the worker sent a message that is not of this protocol: {event.detail}")


@pytest.fixture(params=["tcp", "ipc"])
def transport(request: pytest.FixtureRequest) -> str:
    """Both transports."""
    return str(request.param)


@pytest.fixture
def make_line(tmp_path: Path, recipes: Path) -> Iterator[Callable[[str], Line]]:
    """A function that makes a line whose processes end with the test."""
    lines: list[Line] = []
    with Children(tmp_path / "logs") as children:

        def make(transport: str = "tcp") -> Line:
            names = ("frames", "results", "maps", "recovery", "control")
            ipc = Endpoints(*(f"ipc://{tmp_path}/{name}" for name in names))
            line = Line(tmp_path, recipes, Endpoints.free() if transport == "tcp" else ipc, children)
            lines.append(line)
            return line

        yield make
        for line in lines:
            line.subscriber.close()
