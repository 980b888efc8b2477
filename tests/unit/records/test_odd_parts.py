"""Odd parts among collected ones: what is pointed out, and what never is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmfm_records.collected import CollectedPart
from cmfm_records.odd_parts import View, odd_parts, view_of

COUNT = 12


def parts(count: int = COUNT, **odd: Any) -> list[CollectedPart]:
    """Parts that vary a little; `odd` replaces facts, or figures of the view, of the last one."""
    made = []
    for number in range(count):
        view = {
            "brightness": 100.0 + number % 3,
            "measured": 0.9 + 0.001 * (number % 4),
            "distance_m": 0.5 + 1e-4 * (number % 2),
        }
        facts: dict[str, Any] = {"verdict": "PASS", "score": 1.0 + 0.01 * (number % 5), "size_px": [40, 40]}
        facts |= {"frame_sha256": str(number), "view": view}
        if number == count - 1:
            facts["view"] = view | {key: value for key, value in odd.items() if key in view}
            facts |= {key: value for key, value in odd.items() if key in facts}
        made.append(CollectedPart(Path(f"p{number}"), facts, None))
    return made


@pytest.mark.parametrize(
    ("odd", "reasons"),
    [
        ({}, ()),
        ({"brightness": 40.0}, ("brightness",)),
        ({"measured": 0.5}, ("measured",)),
        ({"distance_m": 0.52}, ("distance",)),
        ({"size_px": [80, 40]}, ("size",)),
        ({"score": 9.0}, ("score",)),
        ({"score": 0.01}, ()),  # a low score is no reason to look
        ({"score": None}, ()),
        ({"score": float("nan")}, ()),
        ({"view": None}, ()),
        ({"frame_sha256": "3"}, ("repeated",)),
        ({"brightness": 240.0, "measured": 0.1}, ("brightness", "measured")),
        ({"brightness": 106.0}, ()),  # within the floor
    ],
)
def test_what_is_odd_about_a_part(odd: dict[str, Any], reasons: tuple[str, ...]) -> None:
    """Only the part that differs is named, with each thing in which it does."""
    assert odd_parts(parts(**odd)) == ({f"p{COUNT - 1}": reasons} if reasons else {})


def test_few_parts_are_not_compared() -> None:
    """Among seven nobody can tell which one is odd; a repeated frame still is."""
    assert odd_parts(parts(7, brightness=10.0)) == {}
    assert odd_parts(parts(2, frame_sha256="0")) == {"p1": ("repeated",)}


def test_view_of_a_frame() -> None:
    """Points that were not measured, as NaN or as zero, count for the share alone."""
    rgb = np.full((40, 60, 3), 50, np.uint8)
    xyz = np.zeros((40, 60, 3), np.float32)
    assert view_of(rgb, xyz) == View(50.0, 0.0, 0.0)
    xyz[20:, :, 2] = 0.25
    xyz[:10, :, 2] = np.nan
    assert view_of(rgb, xyz) == View(50.0, 0.5, 0.25)
