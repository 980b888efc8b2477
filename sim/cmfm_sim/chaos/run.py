"""Carries a chaos plan out: starts the line, disturbs it as planned, and ends it in order.

A process that ends or hangs by itself is an error. Each act is kept with its times (`Done`), so that `peers` knows
which dead peers had to be reported.
"""

import heapq
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cmfm_protocol.wire.state import COUNTS
from cmfm_sim.chaos.guest_processes import NO_ROOM, Guests
from cmfm_sim.chaos.line import ChaosLine
from cmfm_sim.chaos.plan import Act, ActKind, ChaosPlan
from cmfm_sim.errors import FailedError
from cmfm_sim.processes import Child

READY_LIMIT_S: Final = 180.0
SETTLE_LIMIT_S: Final = 120.0
END_LIMIT_S: Final = 120.0
TICK_S: Final = 0.02
LAST_FRAMES_S: Final = 2.0
"""Time that the camera goes on after the last act, so that a disturbed stream is heard of again."""

LAST_RESULTS_S: Final = 1.5
"""Time from the last verdict to the end of the worker: the subscriber asks for missed results at a heartbeat."""

AGAIN_S: Final = 1.0
"""Time after which a supervisor starts a worker again that had no room for its ledger."""


SETTLED_S: Final = 1.0
RECORD_LIMIT_S: Final = 60.0
SAMPLE_S: Final = 5.0

Sample = Callable[[Mapping[str, int]], None]
"""Called every SAMPLE_S with the ids of the running processes by name."""


@dataclass(frozen=True, slots=True)
class Done:
    """An act begun at `at_ns` and ended at `until_ns`, CLOCK_REALTIME."""

    kind: ActKind
    at_ns: int
    until_ns: int


@dataclass(slots=True)
class Course:
    """Record of a run: acts done, camera boots that were killed, logs of rough cameras, and problems."""

    done: list[Done] = field(default_factory=list)
    rough_logs: list[Path] = field(default_factory=list)
    killed_cameras: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    worker_boots: int = 0
    ended_ns: int = 0  # when the worker was told to end
    seconds: float = 0.0


class ChaosRun:
    """One run, in one thread. `run` raises FailedError if the line cannot be started or does not end."""

    def __init__(
        self,
        line: ChaosLine,
        plan: ChaosPlan,
        *,
        stopped: Callable[[], bool] = lambda: False,
        on_step: Callable[[str], None] = lambda _: None,
        ends_with_camera: bool = False,
        sample: Sample | None = None,
    ) -> None:
        self._line = line
        self._plan = plan
        self._stopped = stopped
        self._on_step = on_step
        self._ends_with_camera = ends_with_camera
        self._sample = sample
        self._next_sample_s = 0.0
        self._running: dict[str, Child] = {}
        self._disk_full = False
        self._worker_met_full_disk = False
        self._guests = Guests(line)
        self._settled_counts: Mapping[str, int] = {}
        self._settled_s = 0.0
        self._begun: dict[ActKind, int] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []  # heap: time.monotonic(), order, what
        self._order = itertools.count()
        self.course = Course(rough_logs=self._guests.rough_logs)

    def run(self) -> Course:
        """Carry out the whole run."""
        started_s = time.monotonic()
        self._start_line()
        self._disturb()
        self._calm()
        self._end()
        self.course.worker_boots = self._line.boots("worker")
        self.course.seconds = time.monotonic() - started_s
        return self.course

    def _start_line(self) -> None:
        for name in ("subscriber", "worker", "camera"):
            self._start(name)
        self._wait(self._is_ready, READY_LIMIT_S, "the worker is ready")
        self._on_step("the line is up")

    def _disturb(self) -> None:
        zero_s = time.monotonic()
        for act in self._plan.acts:
            self._at(zero_s + act.at_s, lambda act=act: self._begin(act))  # type: ignore[misc]
        until_s = zero_s + self._plan.duration_s
        while self._due or time.monotonic() < until_s:
            self._tick()
            if self._ends_with_camera and self._running["camera"].returncode is not None:
                return

    def _calm(self) -> None:
        """Wait until everything runs again, for the last frames, and for their verdicts."""
        self._wait(self._is_ready, READY_LIMIT_S, "the worker is ready again")
        if not self._ends_with_camera:
            until_s = time.monotonic() + LAST_FRAMES_S
            while time.monotonic() < until_s:
                self._tick()
        self._finish("camera")
        self._wait(self._has_settled, SETTLE_LIMIT_S, "every trigger has a verdict")
        if self._guests.rough_logs:
            self._wait_for_record()
        until_s = time.monotonic() + LAST_RESULTS_S
        while time.monotonic() < until_s:
            self._tick()

    def _end(self) -> None:
        self.course.ended_ns = time.time_ns()
        self._finish("worker")
        time.sleep(LAST_RESULTS_S / 2)
        self._finish("subscriber")

    def _begin(self, act: Act) -> None:
        self._on_step(str(act))
        self._begun[act.kind] = time.time_ns()
        self._verbs()[act.kind.verb](act)
        self._at(time.monotonic() + act.for_s, lambda: self._over(act))

    def _verbs(self) -> dict[str, Callable[[Act], None]]:
        return {
            "kill": lambda act: self._kill(act.kind.target),
            "stop": lambda act: self._freeze(act.kind.target),
            "cut": lambda act: self._line.proxies[act.kind.target].cut(),
            "slow": lambda act: self._line.proxies[act.kind.target].slow(),
            "full": lambda _: self._fill_disk(),
            "foreign": lambda act: self._line.proxies[act.kind.target].foreign(),
            **dict.fromkeys(("second", "rough"), self._start_guest),
            **dict.fromkeys(("flag", "length", "greeting", "oversize"), self._damage),
        }

    def _over(self, act: Act) -> None:
        verb, target = act.kind.verb, act.kind.target
        if verb in ("second", "rough"):
            self._wait_for_guest(act.kind)
        self.course.done.append(Done(act.kind, self._begun[act.kind], time.time_ns()))
        if verb == "kill":
            self._start(target)
        elif verb == "stop":
            self._thaw(target)
        elif verb == "slow":
            self._line.proxies[target].fast()
        elif verb == "full":
            self._free_disk()
        elif verb == "foreign":
            self._line.proxies[target].own()

    def _damage(self, act: Act) -> None:
        kind: Any = act.kind.verb
        self._line.proxies[act.kind.target].damage(kind)

    def _start_guest(self, act: Act) -> None:
        self._guests.start(act.kind, self._plan.seed)

    def _wait_for_guest(self, kind: ActKind) -> None:
        """Wait until a second worker or a rough camera has ended. The plan waits with it."""
        since_s = time.monotonic()
        problem = self._guests.wait(kind, self._running.get("worker"), self._look_after_children)
        if problem is not None:
            self.course.problems.append(problem)
        waited_s = time.monotonic() - since_s
        self._due = [(at_s + waited_s, order, what) for at_s, order, what in self._due]

    def _kill(self, name: str) -> None:
        if name == "camera":
            self.course.killed_cameras.add(self._line.boots("camera") - 1)
        child = self._running.pop(name, None)
        if child is not None:
            child.kill()

    def _freeze(self, name: str) -> None:
        if name in self._running:
            self._running[name].freeze()

    def _thaw(self, name: str) -> None:
        if name in self._running:
            self._running[name].thaw()

    def _fill_disk(self) -> None:
        self._disk_full = self._worker_met_full_disk = True
        if "worker" in self._running:
            self._line.disk.fill(self._running["worker"].pid)

    def _free_disk(self) -> None:
        self._disk_full = False
        worker = self._running.get("worker")
        self._line.disk.free(worker.pid if worker is not None else None)

    def _start(self, name: str) -> None:
        boot = self._line.boots(name)
        if name == "worker":
            self._worker_met_full_disk = self._disk_full
        faults = self._plan.frame_faults if name == "camera" else ""
        self._running[name] = self._line.start(name, faults=faults, seed=self._plan.frame_seed(boot))

    def _tick(self) -> None:
        if self._stopped():
            raise FailedError("stopped")
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        self._look_after_children()
        if self._sample is not None and time.monotonic() >= self._next_sample_s:
            self._sample({name: child.pid for name, child in self._running.items()})
            self._next_sample_s = time.monotonic() + SAMPLE_S
        time.sleep(TICK_S)

    def _look_after_children(self) -> None:
        for name, child in list(self._running.items()):
            if child.returncode is not None:
                self._ended(name, child)

    def _ended(self, name: str, child: Child) -> None:
        """Handle a process that ended without being told to."""
        if name == "camera" and child.returncode == 0 and self._ends_with_camera:
            return
        if name == "worker" and child.returncode == NO_ROOM and self._worker_met_full_disk:
            del self._running[name]  # as a supervisor does
            self._at(time.monotonic() + AGAIN_S, lambda: self._start(name))
            return
        raise child.failure(f"ended by itself with exit code {child.returncode}")

    def _finish(self, name: str) -> None:
        child = self._running.pop(name)
        child.terminate()
        until_s = time.monotonic() + END_LIMIT_S
        while child.returncode is None:
            if time.monotonic() > until_s:
                raise child.failure(f"did not end within {END_LIMIT_S:g} s of SIGTERM")
            time.sleep(TICK_S)
        if child.returncode != 0:
            self.course.problems.append(f"{name} ended with exit code {child.returncode} after SIGTERM")

    def _wait(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        until_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until_s:
                raise FailedError(
                    f"waited {limit_s:g} s in vain until {what}; logs in {self._line.folder / 'logs'}"
                )
            self._tick()

    def _is_ready(self) -> bool:
        state = self._line.status() if "worker" in self._running else None
        return state is not None and state.phase == "ready"

    def _has_settled(self) -> bool:
        """True if every trigger has its verdict, those of a jump too, and a second ago it was no less."""
        state, now_s = self._line.status(), time.monotonic()
        if state is None or state.in_flight or state.counts != self._settled_counts:
            self._settled_counts, self._settled_s = (state.counts if state is not None else {}), now_s
            return False
        return now_s - self._settled_s >= SETTLED_S

    def _wait_for_record(self) -> None:
        """After FAULTs in bulk, wait until the subscriber has recovered what it missed: the worker must be there."""
        state, until_s = self._line.status(), time.monotonic() + RECORD_LIMIT_S
        results = sum(state.counts[name] for name in COUNTS[1:]) if state is not None else 0
        while (
            state is not None and self._line.recorded(state.boot_id) < results and time.monotonic() < until_s
        ):
            for _ in range(25):
                self._tick()

    def _at(self, when_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when_s, next(self._order), what))
