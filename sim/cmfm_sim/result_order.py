"""Which results a subscriber has had: results of one boot of a worker are numbered 1, 2, 3, … (WIRE.md, results).

Pure; no sockets.
"""

from typing import NamedTuple


class Missing(NamedTuple):
    """Results `first_id` to `last_id` of a boot, not received."""

    boot_id: str
    first_id: int
    last_id: int

    def __len__(self) -> int:
        return self.last_id - self.first_id + 1


class HadBefore(NamedTuple):
    """The newest result that a subscriber had when it ended: where it goes on."""

    boot_id: str
    result_id: int


class ResultOrder:
    """Keeps the newest id of the worker's present boot.

    A subscriber that `had` results before goes on after them. One that joins late has missed nothing, unless it wants
    everything `from_start`. A worker that started after the subscriber is followed from its first result in any case.
    """

    def __init__(self, *, from_start: bool, had: "HadBefore | None" = None) -> None:
        self._from_start = from_start
        self._newest: dict[str, int] = (
            {} if had is None else {had.boot_id: had.result_id}
        )  # boot_id → newest id had; the present boot is the last one

    @property
    def boot_id(self) -> str:
        """The worker's present boot, "" before anything was heard of it."""
        return next(reversed(self._newest), "")

    def newest(self, boot_id: str) -> int:
        """The newest id had of a boot, 0 before the first."""
        return self._newest.get(boot_id, 0)

    def heard_of(self, boot_id: str, published: int) -> None:
        """A boot is known to have published that many results. Joins it where it is new."""
        if boot_id not in self._newest:
            joins_late = not self._newest and not self._from_start
            self._newest[boot_id] = published if joins_late else 0

    def missing_before(self, boot_id: str, result_id: int) -> Missing | None:
        """The results that should have come before this one."""
        self.heard_of(boot_id, result_id - 1)
        first = self._newest[boot_id] + 1
        return Missing(boot_id, first, result_id - 1) if first < result_id else None

    def take(self, boot_id: str, result_id: int) -> bool:
        """Note a result. False where it was had before."""
        self.heard_of(boot_id, result_id - 1)
        if result_id <= self._newest[boot_id]:
            return False
        self._newest[boot_id] = result_id
        return True
