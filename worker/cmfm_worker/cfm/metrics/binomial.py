"""The exact binomial confidence interval of a rate, from a count of parts."""

from dataclasses import dataclass

from scipy.special import betaincinv

CONFIDENCE = 0.95


def clopper_pearson(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return bounds in [0, 1] of the true rate, if `count` of `total` independent parts were observed.

    The interval covers the true rate with at least `confidence`, for any rate. Each tail has half of the rest
    (Clopper and Pearson, 1934). Raises ValueError if `total` is 0 or `count` is not between 0 and `total`.
    """
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is not a count of some parts")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1.0 - tail))
    return low, high


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of` parts. Rate and interval are None without parts."""

    count: int
    of: int

    @property
    def rate(self) -> float | None:
        """Return the observed rate."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % Clopper–Pearson interval."""
        return clopper_pearson(self.count, self.of) if self.of else None
