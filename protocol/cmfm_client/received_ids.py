"""Which results a subscriber has received: those of one boot of a worker are numbered 1, 2, 3, … (WIRE.md, results).

Pure; no sockets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class IdRange(NamedTuple):
    """Result ids `first` to `last`, both included."""

    first: int
    last: int


class Missing(NamedTuple):
    """Results `first_id` to `last_id` of a boot, both included, that were not received."""

    boot_id: str
    first_id: int
    last_id: int

    def __len__(self) -> int:
        return self.last_id - self.first_id + 1


@dataclass(slots=True)
class ReceivedIds:
    """Results of one boot: all up to `newest` were received or given up, except those in `owed`."""

    newest: int = 0
    owed: list[IdRange] = field(default_factory=list)

    def expect(self, result_id: int) -> bool:
        """Note that results up to `result_id` were published. Return False if already known."""
        if result_id <= self.newest:
            return False
        self.owed.append(IdRange(self.newest + 1, result_id))
        self.newest = result_id
        return True

    def take(self, result_id: int) -> bool:
        """Note a result. False if it was received before, or given up."""
        self.expect(result_id)
        return bool(self.remove(IdRange(result_id, result_id)))

    def remove(self, ids: IdRange) -> list[IdRange]:
        """Take a range out of what is owed; returns what of it was owed."""
        kept, removed = [], []
        for first, last in self.owed:
            overlap = IdRange(max(first, ids.first), min(last, ids.last))
            if overlap.first > overlap.last:
                kept.append(IdRange(first, last))
                continue
            removed.append(overlap)
            rest = (IdRange(first, overlap.first - 1), IdRange(overlap.last + 1, last))
            kept += [piece for piece in rest if piece.first <= piece.last]
        self.owed = kept
        return removed


class ResultOrder:
    """Keeps what was received of each boot of a worker.

    A subscriber that starts again gives what it `received` before and goes on from there. One that starts late has
    missed nothing, unless it wants everything `from_start`. A boot of the worker that begins after the subscriber's
    start is followed from its first result in any case.
    """

    def __init__(self, *, from_start: bool, received: Mapping[str, ReceivedIds] | None = None) -> None:
        self._from_start = from_start
        # boot_id → ids; the present boot is the last one
        self._boots = {
            boot_id: ReceivedIds(ids.newest, list(ids.owed)) for boot_id, ids in (received or {}).items()
        }

    @property
    def boot_id(self) -> str:
        """The worker's present boot, "" before anything was heard of it."""
        return next(reversed(self._boots), "")

    def is_new(self, boot_id: str) -> bool:
        """Return True if nothing was heard of this boot."""
        return boot_id not in self._boots

    def newest(self, boot_id: str) -> int:
        """The newest id of a boot that was received or given up, 0 before the first."""
        return self._boots[boot_id].newest if boot_id in self._boots else 0

    def expect(self, boot_id: str, result_id: int) -> bool:
        """Note that a boot has published results up to `result_id`. True if some of them are newly missing."""
        if boot_id not in self._boots:
            starts_late = not self._boots and not self._from_start
            self._boots[boot_id] = ReceivedIds(newest=result_id if starts_late else 0)
        return self._boots[boot_id].expect(result_id)

    def take(self, boot_id: str, result_id: int) -> bool:
        """Note a result. False if it was received before, or given up."""
        self.expect(boot_id, result_id - 1)
        return self._boots[boot_id].take(result_id)

    def owed(self, boot_id: str) -> list[Missing]:
        """Results of a boot that are still wanted, in ascending order."""
        ids = self._boots.get(boot_id, ReceivedIds())
        return [Missing(boot_id, *owed) for owed in sorted(ids.owed)]

    def give_up(self, missing: Missing) -> list[Missing]:
        """Stop waiting for these results; return those that never came."""
        removed = self._boots[missing.boot_id].remove(IdRange(missing.first_id, missing.last_id))
        return [Missing(missing.boot_id, *ids) for ids in removed]
