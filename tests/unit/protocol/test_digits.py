"""A score and its threshold are written so that a reader sees which one is higher."""

import pytest

from cmfm_protocol.digits import digits_apart


@pytest.mark.parametrize(
    ("score", "threshold", "least", "digits"),
    [
        (2.61, 2.62, 3, 3),
        (2.6181, 2.6224, 3, 4),
        (2.6181, 2.6224, 4, 4),
        (2.62239, 2.62241, 3, 6),
        (2.6, 2.6, 3, 3),
        (1.0, 1.0 + 1e-12, 3, 7),
        (None, 2.6, 3, 3),
        (2.6, None, 3, 3),
    ],
)
def test_different_numbers_look_different(
    score: float | None, threshold: float | None, least: int, digits: int
) -> None:
    """Three digits, more where these are the same, and seven at most."""
    assert digits_apart(score, threshold, least) == digits
