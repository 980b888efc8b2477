"""A straight line through samples, and how sure its slope is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def change(values: NDArray[np.float64]) -> float | None:
    """By what share a robust straight line through values at equal distances changes from the first to the last.

    Theil-Sen: the median of the slopes between all pairs, so that one value in four may be anything at all. None for
    fewer than two values.
    """
    if len(values) < 2:
        return None
    first, second = np.triu_indices(len(values), 1)
    slope = float(np.median((values[second] - values[first]) / (second - first)))
    middle = (len(values) - 1) / 2
    begin = float(np.median(values - slope * (np.arange(len(values)) - middle))) - slope * middle
    return slope * (len(values) - 1) / begin
