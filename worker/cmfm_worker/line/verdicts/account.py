"""The account of triggers: each is opened once and closed once, with its verdict.

`triggers = pass + fail + undecided + fault + open` holds in every value that `totals` ever has. The verdict thread
alone calls the methods. Any thread may read `totals`: each change replaces the whole value at once.
"""

import heapq
from collections import Counter
from dataclasses import replace

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.health.totals import Totals
from cmfm_worker.line.messages import Trigger, TriggerKey


class Account:
    """Open triggers by key and by deadline, and the totals."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._open: dict[TriggerKey, Trigger] = {}
        self._deadlines: list[tuple[int, TriggerKey]] = []  # heap; entries of closed triggers go when met

    def open(self, trigger: Trigger) -> bool:
        """Enter a trigger. Returns False, and enters nothing, if it is open already."""
        if trigger.key in self._open:
            return False
        self._open[trigger.key] = trigger
        heapq.heappush(self._deadlines, (trigger.deadline_ns, trigger.key))
        self.totals = replace(self.totals, triggers=self.totals.triggers + 1, open=len(self._open))
        return True

    def update(self, trigger: Trigger) -> bool:
        """Replace an open trigger by what its frame says. Returns False if it is not open.

        The earlier of the two deadlines counts.
        """
        known = self._open.get(trigger.key)
        if known is None:
            return False
        if trigger.deadline_ns < known.deadline_ns:
            heapq.heappush(self._deadlines, (trigger.deadline_ns, trigger.key))
        self._open[trigger.key] = replace(trigger, deadline_ns=min(trigger.deadline_ns, known.deadline_ns))
        return True

    def find(self, key: TriggerKey) -> Trigger | None:
        """Return an open trigger; None if it is not known or has its verdict."""
        return self._open.get(key)

    def close(self, key: TriggerKey, verdict: Verdict, reason: Reason) -> None:
        """Remove an open trigger and count its verdict, in one change of `totals`."""
        del self._open[key]
        totals = self.totals
        verdicts, reasons = Counter(totals.verdicts), Counter(totals.reasons)
        verdicts[verdict] += 1
        reasons[reason] += 1
        self.totals = replace(totals, open=len(self._open), verdicts=verdicts, reasons=reasons)

    def notice(self, what: str, count: int = 1) -> None:
        """Count an event that is no trigger of its own."""
        noticed = Counter(self.totals.noticed)
        noticed[what] += count
        self.totals = replace(self.totals, noticed=noticed)

    def overdue(self, now_ns: int) -> list[Trigger]:
        """Return the open triggers whose deadline has passed, earliest first. Each is returned once."""
        late = []
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            due_ns, key = heapq.heappop(self._deadlines)
            trigger = self._open.get(key)
            if trigger is not None and trigger.deadline_ns == due_ns:  # not moved forward since
                late.append(trigger)
        return late

    def next_deadline_ns(self) -> int | None:
        """Return the earliest deadline of an open trigger, None if no trigger is open."""
        while self._deadlines and self._deadlines[0][1] not in self._open:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def open_keys(self) -> list[TriggerKey]:
        """Return the triggers that have no verdict, in the order in which they were opened."""
        return list(self._open)
