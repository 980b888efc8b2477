"""Looks up the numbers of the tables in the finished experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cmfm_worker.paper_tables.paper import MEAN, Place

_LIMITS: Final = {"aupro_30": "0.3", "aupro_10": "0.1", "aupro_5": "0.05", "aupro_1": "0.01"}
_COST: Final = frozenset({"fps", "memory_mb"})


class Measured(NamedTuple):
    """A measured number; for AUPRO `of_99` is the number with 99 thresholds (docs/method.md, AUPRO)."""

    value: float
    of_99: float | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """Finished experiments by (category, name); `served` maps each variant to the name of its experiment."""

    experiments: Mapping[tuple[str, str], dict[str, Any]]
    served: Mapping[str, str]
    categories: Sequence[str]

    def at(self, place: Place) -> Measured | None:
        """Return the number for a place of a table; None if an experiment is missing or the metric is undefined."""
        if place.category != MEAN:
            return self._of(place, place.category)
        each = [self._of(place, category) for category in self.categories]
        known = [one for one in each if one is not None]
        if not known or len(known) < len(each):
            return None  # a mean over some categories could be mistaken for one over all
        if place.metric == "memory_mb":
            return Measured(max(one.value for one in known))
        of_99 = [one.of_99 for one in known if one.of_99 is not None]
        mean_99 = sum(of_99) / len(of_99) if len(of_99) == len(known) else None
        return Measured(sum(one.value for one in known) / len(known), mean_99)

    def _of(self, place: Place, category: str) -> Measured | None:
        experiment = self.experiments.get((category, self.served.get(place.row, "")))
        if experiment is None:
            return None
        if place.metric in _COST:
            return _measured(experiment[place.metric])
        metrics = experiment["metrics"].get(place.aggregation)
        if metrics is None:
            return None
        if place.metric in _LIMITS:
            limit = _LIMITS[place.metric]
            return _measured(metrics["aupro"][limit], metrics["aupro_99"][limit])
        return _measured(metrics[place.metric])


def _measured(value: float | None, of_99: float | None = None) -> Measured | None:
    return None if value is None else Measured(value, of_99)
