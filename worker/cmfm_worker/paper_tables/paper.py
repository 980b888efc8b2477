"""The paper's own numbers (Tables 1 to 13), as printed there: `paper_tables.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

MEAN: Final = "mean"

MVTEC_3D: Final = (
    "bagel",
    "cable_gland",
    "carrot",
    "cookie",
    "dowel",
    "foam",
    "peach",
    "potato",
    "rope",
    "tire",
)
EYECANDIES: Final = (
    "CandyCane",
    "ChocolateCookie",
    "ChocolatePraline",
    "Confetto",
    "GummyBear",
    "HazelnutTruffle",
    "LicoriceSandwich",
    "Lollipop",
    "Marshmallow",
    "PeppermintCandy",
)


class Place(NamedTuple):
    """The place of a number: table, row ("ours", "m3dm", …), aggregation, metric and category or `MEAN`."""

    table: int
    row: str
    aggregation: str
    metric: str
    category: str


@cache
def paper_numbers() -> Mapping[Place, float]:
    """Return every number of the paper's tables. Means are the printed ones, even if they are rounded differently."""
    text = files("cmfm_worker.paper_tables").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        Place(int(r["table"]), r["row"], r["aggregation"], r["metric"], r["category"]): float(r["value"])
        for r in rows
    }
