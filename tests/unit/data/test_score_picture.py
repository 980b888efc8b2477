"""The picture of scores and limits: each part on its side, and odd scores are drawn too."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cmfm_protocol.pictures.panels import VERDICT_COLOURS
from cmfm_protocol.pictures.score_picture import ScoreGroup, score_picture


def pixels(scores: list[float], fail_at: float, grey_from: float | None = None) -> NDArray[np.uint8]:
    return np.asarray(score_picture([ScoreGroup("nominal", scores)], fail_at=fail_at, grey_from=grey_from))


def columns(picture: NDArray[np.uint8], verdict: str) -> NDArray[np.intp]:
    """Columns with bars of a verdict's colour; lines of limits are two pixels wide and not counted."""
    found = (picture == VERDICT_COLOURS[verdict]).all(-1)
    lines = found.sum(axis=0) > 100  # a limit's line runs through header and rows, a bar stays within its row
    return np.flatnonzero(found[110:].any(axis=0) & ~lines)


def test_parts_stand_in_the_order_of_their_verdicts() -> None:
    """From left to right: PASS, UNDECIDED, FAIL, each in its own colour."""
    picture = pixels([0.1, 0.15, 0.5, 0.9, 0.95], fail_at=0.8, grey_from=0.4)
    passed, undecided, failed = (columns(picture, verdict) for verdict in ("PASS", "UNDECIDED", "FAIL"))
    assert passed.max() < undecided.min()
    assert undecided.max() < failed.min()


def test_without_a_band_nothing_is_undecided() -> None:
    """Without a grey band its colour is nowhere in the picture."""
    picture = pixels([0.1, 0.9], fail_at=0.5)
    assert not (picture == VERDICT_COLOURS["UNDECIDED"]).all(-1).any()
    assert columns(picture, "PASS").size
    assert columns(picture, "FAIL").size


def test_one_high_score_does_not_squeeze_the_rest() -> None:
    """If scores span orders of magnitude, a logarithmic axis still spreads out the good parts."""
    picture = pixels([*np.linspace(0.1, 0.5, 20), 500.0], fail_at=1.0)
    passed = columns(picture, "PASS")
    assert passed.max() - passed.min() > 100


@pytest.mark.parametrize("scores", [[], [0.0], [-1.0, 2.0], [math.nan], [1.0, math.inf], [0.5] * 40])
def test_odd_scores_are_drawn(scores: list[float]) -> None:
    """No scores, equal, negative or infinite scores make a picture of one row."""
    assert pixels(scores, fail_at=0.5).shape == pixels([0.1, 0.2], fail_at=0.5).shape


def test_each_group_has_a_row() -> None:
    """Each further group makes the picture higher by one row."""
    groups = [ScoreGroup(kind, [0.1]) for kind in ("nominal", "good", "hole", "stain")]
    heights = [score_picture(groups[:n], fail_at=1.0).height for n in (1, 2, 4)]
    assert heights[1] - heights[0] == (heights[2] - heights[1]) / 2 > 50
