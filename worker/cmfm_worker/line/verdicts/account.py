"""The account of triggers: opened once, closed once, never anything else.

`triggers = pass + fail + undecided + fault + open` holds after every call; `open` is zero after a drain.
No I/O and no clock. One thread (the desk) owns it.
"""

import heapq

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.health.totals import Totals
from cmfm_worker.line.messages import Trigger, TriggerKey


class Account:
    """Open triggers by key and by deadline, and the totals."""

    def __init__(self) -> None:
        self.counts = Totals()
        self._open: dict[TriggerKey, Trigger] = {}
        self._deadlines: list[tuple[int, TriggerKey]] = []

    def open(self, trigger: Trigger) -> bool:
        """Enter a trigger. False (and nothing entered) if it is open already."""
        if trigger.key in self._open:
            return False
        self._open[trigger.key] = trigger
        heapq.heappush(self._deadlines, (trigger.deadline_ns, trigger.key))
        self.counts.triggers += 1
        self.counts.open += 1
        return True

    def replace(self, trigger: Trigger) -> bool:
        """Set what is known of an open trigger, due no later than before. False if it is not open any more."""
        known = self._open.get(trigger.key)
        if known is None:
            return False
        self._open[trigger.key] = trigger
        if trigger.deadline_ns < known.deadline_ns:
            heapq.heappush(self._deadlines, (trigger.deadline_ns, trigger.key))
        return True

    def close(self, key: TriggerKey) -> Trigger | None:
        """Take a trigger out for its verdict. None if it has had one: the first verdict stands."""
        return self._open.pop(key, None)

    def book(self, verdict: Verdict, reason: Reason) -> None:
        """Count the verdict of a trigger just closed."""
        self.counts.open -= 1
        self.counts.verdicts[verdict] += 1
        self.counts.reasons[reason] += 1

    def overdue(self, now_ns: int) -> list[TriggerKey]:
        """Open triggers whose deadline has passed, earliest first."""
        late = []
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            due_ns, key = heapq.heappop(self._deadlines)
            if key in self._open and self._open[key].deadline_ns == due_ns:  # not one brought forward since
                late.append(key)
        return late

    def next_deadline_ns(self) -> int | None:
        """The earliest deadline of an open trigger, or None."""
        while self._deadlines and self._deadlines[0][1] not in self._open:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def has_frame(self, key: TriggerKey) -> bool:
        """Whether anything of an open trigger's frame has arrived."""
        return self._open[key].received_ns is not None

    def open_keys(self) -> list[TriggerKey]:
        """Triggers still without a verdict."""
        return list(self._open)

    @property
    def open_count(self) -> int:
        """How many triggers are without a verdict."""
        return len(self._open)

    @property
    def holds(self) -> bool:
        """The accounting identity, open triggers included."""
        return self.counts.triggers == self.counts.closed + len(self._open)
