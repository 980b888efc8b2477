"""Numbers on the pages."""

import pytest

from cmfm_hmi.rendering import number
from cmfm_hmi.texts import Language


@pytest.mark.parametrize(
    ("value", "digits", "language", "shown"),
    [
        (12.54, 3, "en", "12.5"),
        (12.54, 3, "de", "12,5"),
        (999.7, 3, "en", "1000"),
        (123456.0, 3, "de", "123456"),
        (0.00012345, 3, "de", "0,000123"),
        (0.0000012345, 3, "de", "1,23e-06"),
        (2.5e9, 3, "en", "2.5e+09"),
        (0.0, 3, "de", "0"),
        (-0.5, 3, "de", "-0,5"),
        (None, 3, "de", "–"),
        (float("nan"), 3, "en", "–"),
        (float("inf"), 3, "en", "–"),
    ],
)
def test_a_number_is_written_as_its_reader_writes_it(
    value: float | None, digits: int, language: Language, shown: str
) -> None:
    """With the decimal sign of the language, and without powers of ten where a person would use none."""
    assert number(value, digits, language) == shown
