"""Drift of one loaded recipe: its last parts compared with its nominal parts, by score and by coverage.

The bins are fixed by the nominal parts (`cmfm_records.nominal`). A window starts empty whenever a recipe is loaded.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from cmfm_records.nominal import Reference, drift_limit
from cmfm_worker.recipes.drift_section import DriftSection
from cmfm_worker.recipes.recipe import Recipe

Measure = Literal["score", "coverage"]

OVER_AT: Final = 0.8
"""Drift is over when every index lies below this share of its limit, so that it does not come and go part by part."""


@dataclass(frozen=True, slots=True)
class MeasureDrift:
    """One measure: its population stability index and its limit; `psi` is NaN with too few parts."""

    psi: float
    limit: float


@dataclass(frozen=True, slots=True)
class DriftState:
    """The drift of a recipe at one moment: the parts in the window, and the measures that have nominal parts."""

    drifting: bool = False
    parts: int = 0
    measures: Mapping[Measure, MeasureDrift] = field(default_factory=dict)

    def in_words(self) -> str:
        """Return which measures have drifted and by how much, for a result's detail."""
        over = [
            f"{name}: PSI {found.psi:.2f}, limit {found.limit:.2f}"
            for name, found in self.measures.items()
            if found.psi >= OVER_AT * found.limit
        ]
        return f"{'; '.join(over)}; last {self.parts} parts"


class DriftMonitor:
    """The window of one recipe. One thread adds parts; any thread may read `state`, which is replaced as a whole.

    Its memory is bounded by the window. Without enough nominal parts, or if `[drift] act` is off, nothing drifts.
    `name` is the name by which frames ask for the recipe.
    """

    def __init__(self, name: str, recipe: Recipe) -> None:
        self.name = name
        self._undecided = recipe.drift.act == "undecided"
        scores = recipe.threshold.nominal_scores if recipe.threshold else ()
        nominal: dict[Measure, Sequence[float]] = {"score": scores, "coverage": recipe.coverage.nominal}
        self._windows: dict[Measure, _Window] = {}
        for measure, values in nominal.items():
            reference = None if recipe.drift.act == "off" else Reference.of(values)
            if reference is not None:
                self._windows[measure] = _Window(reference, recipe.drift)
        self.state = self._state(drifting=False)

    @property
    def calls_undecided(self) -> bool:
        """Tell whether a part that would PASS is UNDECIDED now."""
        return self._undecided and self.state.drifting

    def add(self, score: float, coverage: float | None) -> bool:
        """Add an inspected part. Return True if with it drift begins or is over (`state.drifting` says which)."""
        values: dict[Measure, float | None] = {"score": score, "coverage": coverage}
        for measure, window in self._windows.items():
            value = values[measure]
            if value is not None and math.isfinite(value):
                window.add(value)
        before = self.state.drifting
        self.state = self._state(drifting=before)
        return self.state.drifting != before

    def _state(self, *, drifting: bool) -> DriftState:
        found = {measure: window.found for measure, window in self._windows.items()}
        level = OVER_AT if drifting else 1.0
        return DriftState(
            drifting=any(one.psi >= level * one.limit for one in found.values()),
            parts=max((window.parts for window in self._windows.values()), default=0),
            measures=found,
        )


class _Window:
    """The last parts of one measure, as bins of the nominal parts."""

    def __init__(self, reference: Reference, section: DriftSection) -> None:
        self._reference = reference
        self._section = section
        self._bins: deque[int] = deque()
        self._counts = [0] * len(reference.counts)
        self.found = MeasureDrift(math.nan, self._limit(section.window))

    @property
    def parts(self) -> int:
        return len(self._bins)

    def add(self, value: float) -> None:
        bin_ = self._reference.bin_of(value)
        self._bins.append(bin_)
        self._counts[bin_] += 1
        if len(self._bins) > self._section.window:
            self._counts[self._bins.popleft()] -= 1
        if len(self._bins) >= self._section.least_parts:
            self.found = MeasureDrift(self._reference.stability(self._counts), self._limit(len(self._bins)))

    def _limit(self, parts: int) -> float:
        return drift_limit(self._section.limit, len(self._counts), self._reference.parts, parts)
