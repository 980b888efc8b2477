"""Totals since boot: what metrics, heartbeat and systemd status report."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cmfm_protocol.wire.verdict import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts at one instant: `triggers` equals `closed` plus `open`. Any thread may read it; nothing changes it.

    `open` triggers have no verdict yet. `noticed` counts events that are no trigger of their own. The mappings
    return 0 for a missing key.
    """

    triggers: int = 0
    open: int = 0
    verdicts: Mapping[Verdict, int] = field(default_factory=Counter)
    reasons: Mapping[Reason, int] = field(default_factory=Counter)
    noticed: Mapping[str, int] = field(default_factory=Counter)

    @property
    def faults(self) -> int:
        """Parts that were not inspected."""
        return self.verdicts[Verdict.FAULT]

    @property
    def closed(self) -> int:
        """Triggers that have their verdict."""
        return sum(self.verdicts.values())
