"""The exact interval of a rate that was observed on some parts."""

from typing import Final

CONFIDENCE: Final = 0.95


def clopper_pearson(count: int, total: int) -> tuple[float, float]:
    """Return bounds in [0, 1] of the true rate at 95 %, if `count` of `total` independent parts were observed.

    Each tail has 2.5 % (Clopper and Pearson, 1934). Raises ValueError if `total` is 0 or `count` is not between 0 and
    `total`.
    """
    from scipy.special import betaincinv  # late: most programs that read records need no interval

    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is not a count of some parts")
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1.0 - tail))
    return low, high
