"""How many parts to collect, and what more buy: the figures are those that docs/accuracy.md has."""

import re
from pathlib import Path
from statistics import mean

import pytest

from cmfm_records.enough_parts import ENOUGH_PARTS, LEAST_PARTS, MEASURED, ten_more

ACCURACY = (Path(__file__).parents[3] / "docs" / "accuracy.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_document() -> None:
    """The table of parts taught on real parts: I-AUROC, the mean of its seeds."""
    table = ACCURACY.partition("*How many parts:*")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (0\.\d+)(?:, (0\.\d+))?", table, re.MULTILINE)
    found = [(int(parts), mean(float(each) for each in seeds if each)) for parts, *seeds in rows]
    assert [parts for parts, _ in found] == [parts for parts, _ in MEASURED]
    assert [auroc for _, auroc in found] == pytest.approx([auroc for _, auroc in MEASURED], abs=1e-6)


def test_further_parts_buy_less_and_less() -> None:
    """From the least number on; and nothing is claimed beyond what was measured."""
    assert ten_more(LEAST_PARTS).bought > ten_more(50).bought > 0
    assert ten_more(ENOUGH_PARTS).bought > 0
    assert ten_more(112).bought == ten_more(500).bought == 0
    assert ten_more(1).now == MEASURED[0][1]
