"""How many digits a score and its threshold need so that a person can tell them apart."""

from typing import Final

MOST_DIGITS: Final = 7


def digits_apart(score: float | None, threshold: float | None, least: int = 3) -> int:
    """Return the significant digits, at least `least` and at most 7, at which two different numbers look different.

    >>> digits_apart(2.6181, 2.6224), digits_apart(2.61, 2.6224), digits_apart(None, 2.6)
    (4, 3, 3)
    """
    if score is None or threshold is None or score == threshold:
        return least
    digits = least
    while digits < MOST_DIGITS and f"{score:.{digits}g}" == f"{threshold:.{digits}g}":
        digits += 1
    return digits
