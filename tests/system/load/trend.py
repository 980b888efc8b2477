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
