"""From finished cells to the numbers of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cmfm_worker.paper_tables.paper import MEAN, Place

_LIMITS: Final = {"aupro_30": "0.3", "aupro_10": "0.1", "aupro_5": "0.05", "aupro_1": "0.01"}
_COST: Final = frozenset({"fps", "memory_mb"})


class Measured(NamedTuple):
    """A number, and for AUPRO the one with 99 thresholds beside the exact one (docs/method.md, AUPRO)."""

    value: float
    of_99: float | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """Finished cells by (category, cell name), and which cell serves which variant."""

    cells: Mapping[tuple[str, str], dict[str, Any]]
    served: Mapping[str, str]
    categories: Sequence[str]

    def at(self, place: Place) -> Measured | None:
        """What was measured for a place of a table; None where a cell is missing or a metric is not defined."""
        if place.category != MEAN:
            return self._of(place, place.category)
        each = [self._of(place, category) for category in self.categories]
        known = [one for one in each if one is not None]
        if not known or len(known) < len(each):
            return None  # the mean of some categories would pass for that of all
        if place.metric == "memory_mb":
            return Measured(max(one.value for one in known))
        of_99 = [one.of_99 for one in known if one.of_99 is not None]
        mean_99 = sum(of_99) / len(of_99) if len(of_99) == len(known) else None
        return Measured(sum(one.value for one in known) / len(known), mean_99)

    def _of(self, place: Place, category: str) -> Measured | None:
        cell = self.cells.get((category, self.served.get(place.row, "")))
        if cell is None:
            return None
        if place.metric in _COST:
            return _measured(cell[place.metric])
        metrics = cell["metrics"].get(place.aggregation)
        if metrics is None:
            return None
        if place.metric in _LIMITS:
            limit = _LIMITS[place.metric]
            return _measured(metrics["aupro"][limit], metrics["aupro_99"][limit])
        return _measured(metrics[place.metric])


def _measured(value: float | None, of_99: float | None = None) -> Measured | None:
    return None if value is None else Measured(value, of_99)
