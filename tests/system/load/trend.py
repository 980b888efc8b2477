"""A straight line through samples, and how sure its slope is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes


@dataclass(frozen=True, slots=True)
class Slope:
    """Change a unit of time, and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, times: NDArray[np.float64], values: NDArray[np.float64]) -> "Slope | None":
        """Least squares; None for fewer than three samples.

        Samples that follow one another are alike, so each counts for less than one: the error is widened by the
        correlation of a residual with the next, sqrt((1 + r) / (1 - r)).
        """
        if len(times) < 3:
            return None
        t = times - times.mean()
        slope = float((t @ values) / (t @ t))
        residuals = values - values.mean() - slope * t
        variance = float(residuals @ residuals) / (len(t) - 2)
        if variance == 0:
            return cls(slope, 0.0)
        alike = float(residuals[:-1] @ residuals[1:]) / float(residuals @ residuals)
        alike = min(max(alike, 0.0), 0.99)
        return cls(slope, float(np.sqrt(variance / (t @ t) * (1 + alike) / (1 - alike))))


@dataclass(frozen=True, slots=True)
class Drift:
    """By what share a robust straight line through values changes from the first to the last.

    Theil-Sen: the median of the slopes between all pairs, so that one value in four may be anything at all. `low` and
    `high` hold it in 95 of 100 runs, where values do not depend on one another.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, times: NDArray[np.float64], values: NDArray[np.float64]) -> "Drift | None":
        """Of values above 0 in the order of their times; None for fewer than two."""
        if len(values) < 2:
            return None
        line = theilslopes(values, times - times[0])
        per_slope = (times[-1] - times[0]) / line.intercept
        return cls(*(float(slope * per_slope) for slope in (line.slope, line.low_slope, line.high_slope)))

    def __str__(self) -> str:
        return f"{self.value:+.1%} ({self.low:+.1%} to {self.high:+.1%})"
