"""How sure a share of good parts is that was found from the scores of so many."""

CONFIDENCE = 0.95


def rate_interval(rate: float, parts: int) -> tuple[float, float]:
    """Return the 95 % interval of the share of all good parts that reach a threshold, if `rate` of `parts` do.

    This is the exact binomial interval (Clopper and Pearson, 1934) for rate × parts of them, which need not be whole:
    it assumes nothing about the distribution of scores. Raises ValueError for a rate outside [0, 1] or without parts.
    """
    from scipy.special import betaincinv  # late, because a machine with CUDA may lack scipy

    if not 0.0 <= rate <= 1.0 or parts < 1:
        raise ValueError(f"{rate} is no share of {parts} parts")
    count, tail = rate * parts, (1.0 - CONFIDENCE) / 2.0
    low = float(betaincinv(count, parts - count + 1, tail)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, parts - count, 1.0 - tail)) if count < parts else 1.0
    return low, high
