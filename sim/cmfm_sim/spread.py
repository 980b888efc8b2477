"""Percentiles by nearest rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of values, each of which occurred: of fewer than a thousand values `p999` is the highest."""

    p50: float
    p99: float
    p999: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """The spread of `values`; None without values."""
        if not values:
            return None
        p50, p99, p999 = np.quantile(values, [0.5, 0.99, 0.999], method="inverted_cdf")
        return cls(float(p50), float(p99), float(p999), float(max(values)))
