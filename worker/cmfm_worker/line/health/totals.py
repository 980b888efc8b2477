"""Running totals since boot, as metrics, heartbeat and systemd report them."""

from collections import Counter
from dataclasses import dataclass, field

from cmfm_protocol.wire.verdict import Reason, Verdict


@dataclass(slots=True)
class Totals:
    """Triggers and verdicts counted by the account; `open` triggers have no verdict yet."""

    triggers: int = 0
    open: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> int:
        """Parts that were not inspected."""
        return self.verdicts[Verdict.FAULT]

    @property
    def closed(self) -> int:
        """Verdicts given."""
        return sum(self.verdicts.values())
