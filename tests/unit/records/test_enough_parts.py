"""How many parts to collect, and what more buy: the figures are those that docs/accuracy.md has."""

import re
from itertools import pairwise
from pathlib import Path

from cmfm_records.enough_parts import ENOUGH_PARTS, LEAST_PARTS, MEASURED, ten_more

ACCURACY = (Path(__file__).parents[3] / "docs" / "accuracy.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_document() -> None:
    """The rows of the first made-up family, parts taught and I-AUROC."""
    rows = re.findall(r"^\| first \| (\d+)(?: of the 50)? \| (0\.\d+) \|", ACCURACY, re.MULTILINE)
    assert tuple((int(parts), float(auroc)) for parts, auroc in rows) == MEASURED


def test_further_parts_buy_less_and_less() -> None:
    """Each ten buy at most what the ten before bought, and nothing is claimed beyond what was measured."""
    bought = [ten_more(parts).bought for parts in range(5, 130)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(bought))
    assert ten_more(50).bought > 0
    assert ten_more(100).bought == ten_more(500).bought == 0
    assert LEAST_PARTS < ENOUGH_PARTS
