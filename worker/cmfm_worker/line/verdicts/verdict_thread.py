"""The verdict thread: feeds the verdict book with events and time, carries out its actions, serves requests.

Between two checks of the deadlines it does one small piece of work: an event, a map, or a request. So nothing that
waits, however much of it, delays a verdict by more than that.
"""

import threading
from collections.abc import Callable
from typing import Final

import zmq

from cmfm_protocol.clock import NS_PER_MS, Clock
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.health.liveness import CompletedTurns
from cmfm_worker.line.messages import BookEvent, Decision, fault
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.verdicts.actions import Now
from cmfm_worker.line.verdicts.outputs import Outputs
from cmfm_worker.line.verdicts.requests import ControlServer, RecoveryServer
from cmfm_worker.line.verdicts.verdict_book import VerdictBook

MAX_POLL_MS: Final = 50
"""Longest wait of the thread: it notices a stop within this time."""

EVENTS_A_TURN: Final = 64
"""Events handled between two looks at requests and at the heartbeat: about 30 ms of verdicts."""

STOPPED: Final = fault(Reason.DRAINING, "the worker stopped before this part was decided")
"""The decision on a part that is open at the end, unless the service names another."""


class VerdictThread:
    """The thread "verdicts". It alone steps the book and uses the sockets of `outputs`, `control` and `recovery`.

    Any thread posts to `events`; the events of one thread keep their order. Whoever made `events` closes it.
    """

    def __init__(
        self,
        book: VerdictBook,
        outputs: Outputs,
        *,
        events: WakeableQueue[BookEvent],
        control: ControlServer,
        recovery: RecoveryServer,
        queue_free: Callable[[], int],
        state_ms: float,
        clock: Clock,
    ) -> None:
        self.failure: BaseException | None = None
        self.turns = CompletedTurns()
        self._book = book
        self._outputs = outputs
        self._control = control
        self._recovery = recovery
        self._queue_free = queue_free
        self._state_ns = int(state_ms * NS_PER_MS)
        self._clock = clock
        self._events = events
        self._next_state_ns = 0
        self._open_triggers = STOPPED
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="verdicts", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, timeout_s: float, open_triggers: Decision = STOPPED) -> None:
        """Give open triggers this FAULT, send what waits and a last state, close the sockets, end the thread.

        Waits as long as verdicts are given, and `timeout_s` for each further one.
        """
        self._open_triggers = open_triggers
        self._stop.set()
        if self._thread.ident is None:  # never started
            self._close()
            return
        before, given = -1, self._book.totals.closed
        while self._thread.is_alive() and given != before:
            self._thread.join(timeout_s)
            before, given = given, self._book.totals.closed

    @property
    def running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            self.failure = error  # the service ends the process: without this thread there are no verdicts
            raise
        finally:
            self._close()

    def _serve(self) -> None:
        poller = zmq.Poller()
        for readable in (
            self._events.fileno(),
            self._control.fileno(),
            self._control.socket,
            self._recovery.socket,
        ):
            poller.register(readable, zmq.POLLIN)
        self.turns.begin(self._clock.monotonic_ns())
        while not self._stop.is_set():
            poller.poll(self._wait_ms())
            self._handle_events()
            for work in (self._send_map, self._control.serve, self._control.serve_done, self._recovery.serve):
                work()
                self._check_deadlines()
            self._send_state_if_due()
            self.turns.complete(self._clock.monotonic_ns())
        while len(self._events):
            self._handle_events()
            self._send_state_if_due()
        self._outputs.carry_out(self._book.end(self._open_triggers, self._now()))
        self._outputs.send_state()

    def _handle_events(self) -> None:
        for event in self._events.collect(EVENTS_A_TURN):
            self._outputs.carry_out(self._book.handle(event, self._now()))
        self._check_deadlines()

    def _check_deadlines(self) -> None:
        self._outputs.carry_out(self._book.check_deadlines(self._now()))

    def _send_map(self) -> None:
        self._outputs.carry_out(self._book.send_map(self._now()))

    def _send_state_if_due(self) -> None:
        if self._clock.monotonic_ns() >= self._next_state_ns:
            self._outputs.send_state()
            self._next_state_ns = self._clock.monotonic_ns() + self._state_ns

    def _wait_ms(self) -> int:
        now_ns = self._clock.monotonic_ns()
        due_ns = self._book.due_ns(now_ns)
        next_ns = self._next_state_ns if due_ns is None else min(due_ns, self._next_state_ns)
        return min(max(-((now_ns - next_ns) // NS_PER_MS), 0), MAX_POLL_MS)  # rounded up

    def _now(self) -> Now:
        return Now(self._clock.monotonic_ns(), self._clock.realtime_ns(), self._queue_free())

    def _close(self) -> None:
        self._control.close()
        self._recovery.close()
        self._outputs.close()
