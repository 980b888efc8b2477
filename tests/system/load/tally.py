"""The account of a long run from outside the worker: triggers fired against results received.

One stream, a few bytes a trigger. The camera's thread calls `fire`, the subscriber's `receive`.
"""

import threading
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_client.events import Received
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.verdict import Verdict

NONE: Final = 0
"""Code of a trigger without a verdict; the verdicts follow in the order of their class."""

VERDICTS: Final = tuple(Verdict)


@dataclass(frozen=True, eq=False, slots=True)
class Triggers:
    """A copy of the account for figures: one row a trigger. `ns` CLOCK_REALTIME, 0 without a verdict.

    `done_ns` is the worker's stamp, `arrival_ns` the subscriber's.
    """

    trigger_ns: NDArray[np.int64]
    deadline_ms: NDArray[np.float64]
    sent: NDArray[np.bool_]
    verdict: NDArray[np.uint8]
    arrival_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Triggers that have a verdict."""
        answered: NDArray[np.bool_] = self.verdict != NONE
        return answered

    @property
    def inspected(self) -> NDArray[np.bool_]:
        """Triggers whose part was inspected."""
        inspected: NDArray[np.bool_] = self.answered & (self.verdict != code(Verdict.FAULT))
        return inspected

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """From the scheduled trigger to the verdict at the subscriber; meaningless without one."""
        return (self.arrival_ns - self.trigger_ns) / 1e6

    @property
    def lateness_ms(self) -> NDArray[np.float64]:
        """From the deadline to the verdict at the subscriber; negative: in time."""
        return self.latency_ms - self.deadline_ms

    @property
    def given_lateness_ms(self) -> NDArray[np.float64]:
        """From the deadline to the worker's own stamp: its share of the lateness."""
        return (self.done_ns - self.trigger_ns) / 1e6 - self.deadline_ms

    def between(self, first: int, end: int) -> "Triggers":
        """Triggers `first` to `end`, without `end`."""
        return Triggers(*(getattr(self, name)[first:end] for name in self.__slots__))


class Tally:
    """Fired and received, trigger by trigger."""

    def __init__(self) -> None:
        self.stream_uuid = ""
        self.unattributed = 0
        self.unknown: list[tuple[str, int]] = []
        self.twice: list[int] = []
        self.recovered = 0
        self.reasons: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self._trigger_ns = array("q")
        self._deadline_ms = array("d")
        self._sent = bytearray()
        self._verdict = bytearray()
        self._arrival_ns = array("q")
        self._done_ns = array("q")
        self._answered = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._verdict)

    @property
    def answered(self) -> int:
        """Triggers that have a verdict."""
        return self._answered

    @property
    def open(self) -> int:
        """Triggers without a verdict."""
        return len(self) - self._answered

    def fire(self, trigger_ns: int, deadline_ms: float) -> int:
        """Add a trigger before its frame leaves; returns its seq."""
        with self._lock:
            self._trigger_ns.append(trigger_ns)
            self._deadline_ms.append(deadline_ms)
            self._sent.append(1)
            self._arrival_ns.append(0)
            self._done_ns.append(0)
            self._verdict.append(NONE)
            return len(self._verdict) - 1

    def not_sent(self, seq: int) -> None:
        """Note that the camera dropped the frame of a trigger."""
        self._sent[seq] = 0

    def receive(self, item: Received) -> bool:
        """Add a result. True if it is the first verdict of one of our triggers."""
        result = item.result
        self.reasons[str(result.reason)] += 1
        self.models[result.model_sha] += 1
        if result.stream_uuid == "unattributed":
            self.unattributed += 1
            return False
        with self._lock:
            if result.stream_uuid != self.stream_uuid or result.seq >= len(self._verdict):
                self.unknown.append(item.key)
                return False
            if self._verdict[result.seq] != NONE:
                self.twice.append(result.seq)
                return False
            self._verdict[result.seq] = code(result.verdict)
            self._arrival_ns[result.seq] = item.received_ns or result.done_ns
            self._done_ns[result.seq] = result.done_ns
            self._answered += 1
        self.recovered += item.received_ns is None
        return True

    def triggers(self) -> Triggers:
        """A copy of the account."""
        with self._lock:
            return Triggers(
                np.array(self._trigger_ns),
                np.array(self._deadline_ms),
                np.frombuffer(bytes(self._sent), np.uint8) > 0,
                np.frombuffer(bytes(self._verdict), np.uint8),
                np.array(self._arrival_ns),
                np.array(self._done_ns),
            )

    def counts(self) -> dict[str, Any]:
        """All counts, for a program."""
        triggers = self.triggers()
        verdicts = {str(verdict): int((triggers.verdict == code(verdict)).sum()) for verdict in Verdict}
        return {
            "triggers": len(self),
            "sent": int(triggers.sent.sum()),
            "verdicts": verdicts,
            "reasons": dict(sorted(self.reasons.items())),
            "without_verdict": self.open,
            "second_verdicts": len(self.twice),
            "unknown": len(self.unknown),
            "unattributed": self.unattributed,
            "recovered": self.recovered,
        }

    def problems(self, state: WorkerState | None) -> list[str]:
        """Violations of the identity, from outside and against the worker's own last count; empty if it holds."""
        counts, triggers = self.counts(), self.triggers()
        impossible = int((triggers.inspected & ~triggers.sent).sum())
        wrong = {
            "triggers without a verdict": self.open,
            "triggers with more than one verdict": len(self.twice),
            "verdicts on parts that were never triggered": len(self.unknown),
            "verdicts other than FAULT on parts whose frame was never sent": impossible,
        }
        found = [f"{count} {what}" for what, count in wrong.items() if count]
        return found + self._differences(counts, state)

    def _differences(self, counts: dict[str, Any], state: WorkerState | None) -> list[str]:
        if state is None:
            return ["the worker's own count was not received"]
        outside = {"triggers": len(self) + self.unattributed}
        outside |= {name.lower(): count for name, count in counts["verdicts"].items()}
        outside["fault"] += self.unattributed
        return [
            f"{name}: {count} counted outside, {state.counts[name]} by the worker"
            for name, count in outside.items()
            if state.counts[name] != count
        ]


def code(verdict: Verdict) -> int:
    """A verdict as a byte."""
    return VERDICTS.index(verdict) + 1
