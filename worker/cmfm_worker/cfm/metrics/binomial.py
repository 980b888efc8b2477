"""What a count of parts says about the rate behind it: the exact binomial interval."""

from dataclasses import dataclass

from scipy.special import betaincinv

CONFIDENCE = 0.95


def clopper_pearson(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds of the rate of which `count` of `total` independent parts were seen: both in [0, 1].

    The interval covers the true rate with at least `confidence`, whatever that rate is; each tail has half of the
    rest (Clopper and Pearson, 1934). Raises ValueError where `count` of `total` is no such count.
    """
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is not a count of some parts")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1.0 - tail))
    return low, high


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of` parts; a rate and its interval only where there is a part."""

    count: int
    of: int

    @property
    def rate(self) -> float | None:
        """The observed rate."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % Clopper–Pearson interval."""
        return clopper_pearson(self.count, self.of) if self.of else None
