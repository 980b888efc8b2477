"""How far the regions of a part are above the threshold."""

from cmfm_protocol.wire.result import Result


def shares_of(result: Result) -> tuple[float | None, ...]:
    """The highest Ψ of each region divided by the threshold, both in the unit of the score; None without a threshold.

    The highest Ψ of the map is in the first region, and corresponds to the score.
    """
    regions, score, threshold = result.regions, result.score, result.threshold
    if not regions or score is None or not threshold or regions[0].peak <= 0:
        return tuple(None for _ in regions)
    return tuple(region.peak / regions[0].peak * score / threshold for region in regions)
